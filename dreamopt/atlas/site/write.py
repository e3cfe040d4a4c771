"""Writing the pages of an atlas into its folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamopt.atlas.site.environment import STATIC, environment, static
from dreamopt.atlas.site.graph import drawing
from dreamopt.atlas.site.layer_page import grid_data, maps
from dreamopt.atlas.site.layer_records import STATES, LayerRecords
from dreamopt.atlas.site.output import LAYERS, Output, script
from dreamopt.atlas.site.pictures import Pictures
from dreamopt.atlas.site.source import SiteLayer, Source, mapping, text
from dreamopt.atlas.site.unit_page import UnitPages
from dreamopt.errors import printable

LARGEST_INDEX = 2**20
"""Bytes up to which the whole net is searched in one file; above, each layer's data is fetched when something is looked for."""
_SCRIPT = "atlasData.put"


@dataclass(frozen=True)
class SiteProgress:
    """How far the writing of the pages is.

    Parameters
    ----------
    done, count : int
        Units whose pages are written, and all.
    layer : str
        The one at work.
    """

    done: int
    count: int
    layer: str


def write_site(folder: str | os.PathLike[str], *, progress: Callable[[SiteProgress], None] | None = None) -> Path:
    """Write the pages of an atlas, static files that open from a disk, into its folder.

    They are made from the records alone: no net is opened. Each file is written whole or not at all, ``index.html`` last, and only what
    changed; what is missing of the atlas is left out. The same records give the same bytes.

    Parameters
    ----------
    folder : path
        Of ``dreamopt atlas``.
    progress : callable, optional
        Called with a `SiteProgress` after each layer.

    Returns
    -------
    Path
        Of ``index.html``.

    Raises
    ------
    UsageError
        For a folder that holds no atlas, and where jinja2 is not installed.
    ImageError
        Where a file cannot be written.
    """
    root = Path(folder)
    site = _Site(Source(root), Output(root))
    for name in STATIC:
        site.output.write(f"site/static/{name}", static(name))
    done, count = 0, sum(map(len, site.pages.values()))
    for records in site.records:
        site.write_layer(records)
        done += len(site.pages[records.layer.slug])
        if progress is not None:
            progress(SiteProgress(done, count, records.layer.name))
    site.write_index()
    return root / "index.html"


class _Site:
    def __init__(self, source: Source, output: Output) -> None:
        self.source, self.output = source, output
        self.pictures = Pictures(source, output)
        self.records = [records for layer in source.layers if (records := LayerRecords.read(source, layer)).units() or records.atlases]
        self.pages: dict[str, dict[int, str]] = {
            records.layer.slug: {unit: records.picture(source, unit) for unit in records.units()} for records in self.records
        }
        self._units = UnitPages(source, self.pictures, self.pages)
        self._data: dict[str, str] = {}
        self._cards: list[dict[str, Any]] = []
        net, weights = mapping(source.about.get("net")), mapping(source.about.get("weights"))
        self._common = {
            "net": text(net.get("name")) or "a net",
            "weights": text(weights.get("name")),
            "command": text(source.about.get("command")),
        }

    def write_layer(self, records: LayerRecords) -> None:
        layer = records.layer
        shown = {unit: file for unit, file in self.pages[layer.slug].items() if file}
        for unit, file in shown.items():
            self.pictures.displayed(file, layer.slug, f"{unit}-0")
        data = grid_data(records, shown, self.pictures.sheets(layer.slug, list(shown.values())))
        self._data[layer.slug] = script(_SCRIPT, "layer", layer.slug, data)
        self.output.write(f"{LAYERS}/{layer.slug}.js", self._data[layer.slug])
        place = self.records.index(records)
        states = [records.state(unit) for unit in records.units()]
        card = {
            "layer": layer,
            "count": len(states),
            "states": [(state, states.count(state)) for state in STATES if state != "active" and state in states],
            "strip": self.pictures.strip(records, shown),
        }
        self._cards.append(card)
        context = card | {
            "maps": maps(records, self.pictures, self._class_layer()),
            "previous": self.records[place - 1].layer if place else None,
            "next": self.records[place + 1].layer if place + 1 < len(self.records) else None,
        }
        self._render("layer.html", f"{layer.slug}/index.html", "../", context)
        for unit in records.units():
            self._render("unit.html", f"{layer.slug}/{unit}.html", "../", self._units.context(records, unit))
        self.pictures.squares.clear()
        self.output.remove_others([layer.slug], (".html",))

    def write_index(self) -> None:
        net = {
            "name": printable(self._common["net"]),
            "layers": [[printable(one.layer.name), one.layer.slug, len(one.units())] for one in self.records],
            "whole": sum(map(len, self._data.values())) <= LARGEST_INDEX,
        }
        self.output.write("site/net.js", script(_SCRIPT, "net", "", net))
        self.output.write("site/search.js", "".join(self._data.values()) if net["whole"] else "")
        self._render("list.html", "list.html", "", {})
        self.pictures.remove_others()
        addresses: Mapping[str, Any] = {one.layer.slug: one for one in self.records}
        context = {
            "cards": self._cards,
            "graph": drawing(self.source.about.get("graph"), addresses),
            "units": sum(card["count"] for card in self._cards),
            "input": self.source.about.get("input"),
        }
        self._render("index.html", "index.html", "", context)
        self.output.remove_layers(addresses)

    def _class_layer(self) -> SiteLayer | None:
        return next((layer for layer in reversed(self.source.layers) if layer.labels), None)

    def _render(self, template: str, path: str, root: str, context: Mapping[str, Any]) -> None:
        self.output.write(path, environment().get_template(template).render(self._common | {"root": root, "pages": root} | dict(context)))
