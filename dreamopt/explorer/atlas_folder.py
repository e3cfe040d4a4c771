"""A folder of ``dreamopt atlas``, read and never written: a unit's optimized images, crops, and drawings of its page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dreamopt.atlas.site.findings import Findings, Link
from dreamopt.atlas.site.layer_records import LayerRecords
from dreamopt.atlas.site.source import SiteLayer, site_layer, units_of
from dreamopt.errors import ImageError, UsageError
from dreamopt.parts.reading import parse_json, read_bytes, read_text

FORMAT = 1
KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
"""The files that are given to a page, by their ending, and what is said of them."""
_PIECES = ("tuning", "circuit", "logits", "neighbours")
_LARGEST = 32 * 2**20
_MOST_CROPS = 24


class AtlasFolder:
    """An atlas, as far as the explorer shows it.

    Parameters
    ----------
    path : str or path
        The folder.

    Raises
    ------
    UsageError
        Where it holds no atlas, or one of another format.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.root = Path(os.path.realpath(path))
        index = self.root / "atlas.json"
        if not index.is_file():
            raise UsageError(f"{os.fspath(path)} holds no atlas: there is no atlas.json in it; `dreamopt atlas -o` makes one")
        about = self._json(index)
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise UsageError(f"the atlas in {os.fspath(path)} is of a format that this version does not read; it reads format {FORMAT}")
        net = about.get("net")
        self.net_sha256 = net.get("sha256") if isinstance(net, dict) else None
        layers = about.get("layers")
        named = [one for one in layers if isinstance(one, dict)] if isinstance(layers, list) else []
        self.slugs: dict[str, str] = {
            one["name"]: one["slug"] for one in named if isinstance(one.get("name"), str) and isinstance(one.get("slug"), str)
        }
        """By layer, its folder's name."""
        found = [one for one in map(site_layer, named) if one is not None]
        self._layers = {layer.slug: layer for layer in found}
        self._findings = Findings(found, self._link)

    def unit(self, layer: str, unit: int) -> dict[str, Any] | None:
        """Return what the atlas has of a unit; None of a layer that is not in it.

        ``images`` and ``crops``, each with its file, and ``findings``: HTML of its tuning, circuit, effects on the classes and neighbours.
        What is missing or damaged is left out: the atlas may be still in the making.
        """
        slug = self.slugs.get(layer)
        if slug is None:
            return None
        variants = _mapping(_mapping(self._record(f"records/image/{slug}/{unit}.json")).get("variants"))
        images = [
            {"variant": name, **_of(variants[name], "value", "file", "command", "failed")}
            for name in sorted(variants, key=lambda name: (not name.isdecimal(), len(name), name))
            if isinstance(variants[name], dict)
        ]
        survey = _mapping(_mapping(_mapping(self._record(f"records/survey/{slug}.json")).get("units")).get(str(unit)))
        top = survey.get("top")
        crops = [_of(one, "image", "box", "value", "file") for one in (top if isinstance(top, list) else []) if isinstance(one, dict)]
        return {
            "images": [one for one in images if self._is_there(one.get("file")) or "failed" in one],
            "crops": [one for one in crops if self._is_there(one.get("file"))][:_MOST_CROPS],
            "findings": self._findings_of(slug, unit),
            **_of(survey, "state", "zeros", "mean", "max"),
        }

    def _findings_of(self, slug: str, unit: int) -> str:
        """Return tuning, circuit, effects and neighbours as the atlas's page of the unit draws them."""
        layer = self._layers.get(slug)
        if layer is None:
            return ""
        pieces = {piece: units_of(self._record(f"records/{piece}/{slug}.json"), layer) for piece in _PIECES}
        return self._findings.markup(LayerRecords(layer, {}, pieces, {}), unit, "/api/atlas/", "/#")

    def _link(self, layer: SiteLayer, unit: int) -> Link:
        variants = _mapping(_mapping(self._record(f"records/image/{layer.slug}/{unit}.json")).get("variants"))
        file = _mapping(variants.get("0")).get("file")
        return Link(f"{layer.name}:{unit}", file if self._is_there(file) else None)

    def file(self, name: str) -> tuple[bytes, str]:
        """Return an image's bytes and kind.

        Raises
        ------
        ImageError
            For what is no image of this folder: nothing outside it is read, also not through a link.
        """
        path = self._inside(name)
        if path is None:
            raise ImageError(f"the atlas has no image '{name}'")
        return read_bytes(path, "the atlas's image", ImageError, _LARGEST), KINDS[path.suffix.lower()]

    def _inside(self, name: str) -> Path | None:
        if "\0" in name or not name:
            return None
        path = Path(os.path.realpath(self.root / name))
        return path if path.is_relative_to(self.root) and path.suffix.lower() in KINDS and path.is_file() else None

    def _is_there(self, name: object) -> bool:
        return isinstance(name, str) and self._inside(name) is not None

    def _record(self, name: str) -> Any:
        path = Path(os.path.realpath(self.root / name))
        if not path.is_relative_to(self.root) or not path.is_file():
            return None
        try:
            return self._json(path)
        except UsageError:
            return None

    def _json(self, path: Path) -> Any:
        what = f"the atlas's {path.name}"
        return parse_json(read_text(path, what, UsageError, _LARGEST), what, UsageError)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _of(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: record[name] for name in names if name in record}
