"""What the folder of an atlas holds, read for its pages; what is missing or damaged is left out, and no path leads out of the folder."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from dreamopt.errors import DreamoptError, UsageError
from dreamopt.parts.reading import parse_json, read_bytes

FORMAT = 1
SLUG = re.compile(r"(?!\.)[A-Za-z0-9_.~-]+")
"""The address of a layer."""
_LARGEST = 2**28  # bytes of a file of records
_TAKEN = {"atlas.json", "index.html", "list.html", "lock"}  # files beside the layers' folders
Json = Mapping[str, Any]


@dataclass(frozen=True)
class SiteLayer:
    """A layer of an atlas.

    Parameters
    ----------
    name, slug, type : str
        Of the layer; the slug is its folder.
    shape, field : tuple of int
        Of its activations of one image, and of a unit's receptive field (h, w); () where it is not known.
    units : int
        How many it has.
    labels : tuple of str or None
        One a unit, or none.
    """

    name: str
    slug: str
    type: str
    shape: tuple[int, ...]
    field: tuple[int, ...]
    units: int
    labels: tuple[str | None, ...]

    def label(self, unit: int) -> str | None:
        """Return a unit's label, if it has one."""
        return self.labels[unit] if unit < len(self.labels) else None


class Source:
    """The folder of an atlas, read only.

    Parameters
    ----------
    root : Path
        The folder.

    Raises
    ------
    UsageError
        Where there is no atlas of this format.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[str, str | None] = {}
        about = self._json("atlas.json")
        if about is None:
            raise UsageError(f"{root} holds no atlas whose pages could be written: there is no atlas.json of format {FORMAT} in it")
        self.about: Json = about
        found = [layer for one in items(about.get("layers")) if (layer := site_layer(one)) is not None]
        self.layers = tuple({layer.slug: layer for layer in found}.values())

    @cached_property
    def by_name(self) -> Mapping[str, SiteLayer]:
        """Layers by their names."""
        return {layer.name: layer for layer in self.layers}

    def images(self, layer: SiteLayer) -> dict[int, Json]:
        """Return the optimized images of a layer: by unit, its variants by name."""
        folder = self.root / "records" / "image" / layer.slug
        found = {}
        for entry in sorted(os.scandir(folder), key=lambda one: one.name) if folder.is_dir() else ():
            stem, _, ending = entry.name.partition(".")
            if ending == "json" and stem.isascii() and stem.isdecimal() and int(stem) < layer.units:
                record = self._json(f"records/image/{layer.slug}/{entry.name}")
                variants = mapping((record or {}).get("variants"))
                found[int(stem)] = {name: one for name, one in variants.items() if isinstance(one, Mapping)}
        return {unit: variants for unit, variants in found.items() if variants}

    def units(self, piece: str, layer: SiteLayer) -> dict[int, Json]:
        """Return the records of a piece of a layer, by unit."""
        return units_of(self._json(f"records/{piece}/{layer.slug}.json"), layer)

    def atlases(self, layer: SiteLayer) -> dict[str, Json]:
        """Return the activation atlases of a layer, by name."""
        found = mapping((self._json(f"records/activation_atlas/{layer.slug}.json") or {}).get("atlases"))
        return {name: one for name, one in found.items() if isinstance(one, Mapping)}

    def file(self, path: Any) -> str | None:
        """Return a path of a record, relative to the folder; None where it is no file within the folder. It is looked at once."""
        if not isinstance(path, str):
            return None
        if path not in self._files:
            self._files[path] = self._found(path)
        return self._files[path]

    def _found(self, path: str) -> str | None:
        if "\0" in path or "\\" in path:
            return None
        inner = PurePosixPath(path)
        if inner.is_absolute() or ".." in inner.parts or not inner.parts or ":" in inner.parts[0]:
            return None
        return inner.as_posix() if (self.root / inner).is_file() else None

    def _json(self, path: str) -> Json | None:
        """Return an object of this format, or None."""
        if not (self.root / path).is_file():
            return None
        try:
            found = parse_json(read_bytes(self.root / path, "the records", DreamoptError, _LARGEST), "the records", DreamoptError)
        except DreamoptError:
            return None
        return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def units_of(records: Any, layer: SiteLayer) -> dict[int, Json]:
    """Return the records of a layer's units that a file holds."""
    return {
        int(unit): record
        for unit, record in mapping(mapping(records).get("units")).items()
        if unit.isascii() and unit.isdecimal() and int(unit) < layer.units and isinstance(record, Mapping)
    }


def items(value: Any) -> list[Json]:
    """Return the objects of a list; none of what is no list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def mapping(value: Any) -> Json:
    """Return an object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def number(value: Any) -> float | None:
    """Return a finite number, or None.

    >>> number(3), number(True), number("3")
    (3.0, None, None)
    """
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def numbers(value: Any) -> list[float]:
    """Return a list of finite numbers; an empty one where a single one is something else."""
    found = [number(one) for one in value] if isinstance(value, list) else []
    return [one for one in found if one is not None] if None not in found else []


def whole(value: Any) -> int | None:
    """Return a whole number of at least 0, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def text(value: Any) -> str | None:
    """Return a text that is not empty, or None."""
    return value if isinstance(value, str) and value else None


def site_layer(one: Json) -> SiteLayer | None:
    """Return a layer as ``atlas.json`` has it; None where it is damaged."""
    slug, name, units = one.get("slug"), one.get("name"), whole(one.get("units"))
    if not isinstance(slug, str) or not isinstance(name, str) or units is None or not SLUG.fullmatch(slug) or slug in _TAKEN:
        return None
    labels = one.get("labels")
    return SiteLayer(
        name,
        slug,
        text(one.get("type")) or "layer",
        tuple(map(int, numbers(one.get("shape")))),
        tuple(map(int, numbers(one.get("field")))),
        units,
        tuple(label if isinstance(label, str) else None for label in labels[:units]) if isinstance(labels, list) else (),
    )
