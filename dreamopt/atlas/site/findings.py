"""What an atlas knows of a unit without images: tuning, circuit, effects on classes, nearest units; for its page and the explorer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dreamopt.atlas.site.curves import curve, kernel
from dreamopt.atlas.site.environment import environment
from dreamopt.atlas.site.layer_records import LayerRecords
from dreamopt.atlas.site.source import Json, SiteLayer, items, number, text, whole


@dataclass(frozen=True)
class Link:
    """Where a unit is.

    Parameters
    ----------
    href : str or None
        Its address, behind what the template calls ``pages``.
    picture : str or None
        The image that stands for it, behind what the template calls ``root``.
    """

    href: str | None
    picture: str | None


class Findings:
    """What the template ``findings.html`` is filled with.

    Parameters
    ----------
    layers : iterable of SiteLayer
        Of the atlas.
    link : callable
        Called with a layer and a unit; where it is.
    """

    def __init__(self, layers: Iterable[SiteLayer], link: Callable[[SiteLayer, int], Link]) -> None:
        self._layers = {layer.slug: layer for layer in layers}
        self._by_name = {layer.name: layer for layer in self._layers.values()}
        self._link = link

    def context(self, records: LayerRecords, unit: int) -> dict[str, Any]:
        """Return what the template is filled with for a unit."""
        circuit, logits = records.of("circuit", unit), records.of("logits", unit)
        return {
            "curves": [drawn for one in items(records.of("tuning", unit).get("curves")) if (drawn := curve(one)) is not None],
            "incoming": [self._connection(one) for one in items(circuit.get("incoming"))],
            "outgoing": [self._connection(one) for one in items(circuit.get("outgoing"))],
            "family": text(circuit.get("family")),
            "classes": text(logits.get("classes")),
            "effects": [("raises", self._effects(logits, "top")), ("lowers", self._effects(logits, "bottom"))],
            "nearest": [
                self._named(records.layer, found) | {"cosine": number(one.get("cosine"))}
                for one in items(records.of("neighbours", unit).get("nearest"))
                if (found := whole(one.get("unit"))) is not None
            ],
        }

    def markup(self, records: LayerRecords, unit: int, root: str, pages: str) -> str:
        """Return it as HTML, all that comes of the records escaped; empty where nothing is known.

        Parameters
        ----------
        records : LayerRecords
            Of the unit's layer.
        unit : int
            Its number.
        root, pages : str
            What stands before the addresses of files, and of units.
        """
        filled = environment().get_template("findings.html").render(self.context(records, unit) | {"root": root, "pages": pages})
        return str(filled).strip()

    def _named(self, layer: SiteLayer | None, unit: int, name: str | None = None) -> dict[str, Any]:
        """Return how a unit is named, and where its page and its image are, where it has them."""
        link = Link(None, None) if layer is None else self._link(layer, unit)
        label = None if layer is None else layer.label(unit)
        return {"name": name if layer is None else layer.name, "unit": unit, "label": label, "href": link.href, "picture": link.picture}

    def _connection(self, one: Json) -> dict[str, Any]:
        slug, unit = one.get("slug"), whole(one.get("unit"))
        layer = self._layers.get(slug) if isinstance(slug, str) else None
        linked = self._named(layer, -1 if unit is None else unit, text(one.get("layer")))
        return linked | {"unit": unit, "strength": number(one.get("strength")), "kernel": kernel(one.get("kernel"))}

    def _effects(self, logits: Json, end: str) -> list[dict[str, Any]]:
        layer = self._by_name.get(text(logits.get("classes")) or "")
        rows = []
        for one in items(logits.get(end)):
            number_of_class, effect = whole(one.get("class")), number(one.get("effect"))
            if number_of_class is not None and effect is not None:
                linked = self._named(layer, number_of_class)
                rows.append({"class": number_of_class, "label": text(one.get("label")), "effect": effect, "href": linked["href"]})
        largest = max((abs(row["effect"]) for row in rows), default=1.0) or 1.0
        return [row | {"share": round(100 * abs(row["effect"]) / largest, 1)} for row in rows]
