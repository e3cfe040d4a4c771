"""What the page of a unit shows, gathered from the records of an atlas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dreamopt.atlas.site.curves import bars, curve, kernel
from dreamopt.atlas.site.layer_records import LayerRecords
from dreamopt.atlas.site.pictures import Pictures
from dreamopt.atlas.site.source import Json, SiteLayer, Source, items, number, text, whole

_VARIANT = re.compile(r"\d{1,4}|minus")


class UnitPages:
    """The pages of units.

    Parameters
    ----------
    source : Source
        The atlas.
    pictures : Pictures
        Its images.
    pages : mapping
        By a layer's slug, the units that have a page, and the image that stands for each, "" without one.
    """

    def __init__(self, source: Source, pictures: Pictures, pages: Mapping[str, Mapping[int, str]]) -> None:
        self._source, self._pictures, self._pages = source, pictures, pages
        self._layers = {layer.slug: layer for layer in source.layers}
        self._orders = {slug: (list(units), {unit: place for place, unit in enumerate(units)}) for slug, units in pages.items()}

    def context(self, records: LayerRecords, unit: int) -> dict[str, Any]:
        """Return what the template of a unit is filled with."""
        layer = records.layer
        order, places = self._orders[layer.slug]
        place = places.get(unit, 0)
        survey = records.of("survey", unit)
        circuit, logits = records.of("circuit", unit), records.of("logits", unit)
        return {
            "layer": layer,
            "unit": unit,
            "label": layer.label(unit),
            "state": records.state(unit),
            "variants": self._variants(records, unit),
            "failures": records.failures(unit),
            "survey": survey,
            "zeros": number(survey.get("zeros")),
            "count": whole(survey.get("count")),
            "statistics": [(name, number(survey.get(name))) for name in ("mean", "min", "max") if number(survey.get(name)) is not None],
            "bars": bars(survey),
            "top": [self._crop(one) for one in items(survey.get("top"))],
            "quantiles": [self._crop(one) for one in items(survey.get("quantiles"))],
            "curves": [drawn for one in items(records.of("tuning", unit).get("curves")) if (drawn := curve(one)) is not None],
            "incoming": [self._connection(one) for one in items(circuit.get("incoming"))],
            "outgoing": [self._connection(one) for one in items(circuit.get("outgoing"))],
            "family": text(circuit.get("family")),
            "classes": text(logits.get("classes")),
            "effects": [("raises", self._effects(logits, "top")), ("lowers", self._effects(logits, "bottom"))],
            "nearest": [
                self.link(layer, found) | {"cosine": number(one.get("cosine"))}
                for one in items(records.of("neighbours", unit).get("nearest"))
                if (found := whole(one.get("unit"))) is not None
            ],
            "previous": order[place - 1] if place > 0 else None,
            "next": order[place + 1] if place + 1 < len(order) else None,
        }

    def link(self, layer: SiteLayer | None, unit: int, name: str | None = None) -> dict[str, Any]:
        """Return how a unit is named, and where its page and its image are, where it has them."""
        pages = self._pages.get(layer.slug, {}) if layer is not None else {}
        picture = pages.get(unit, "")
        return {
            "name": layer.name if layer is not None else name,
            "unit": unit,
            "label": layer.label(unit) if layer is not None else None,
            "href": f"{layer.slug}/{unit}.html" if layer is not None and unit in pages else None,
            "picture": self._pictures.displayed(picture, layer.slug, f"{unit}-0") if layer is not None and picture else None,
        }

    def _variants(self, records: LayerRecords, unit: int) -> list[dict[str, Any]]:
        found = []
        for name, one in sorted(records.images.get(unit, {}).items(), key=lambda item: (len(item[0]), item[0])):
            file = self._source.file(one.get("file"))
            if file is not None and "failed" not in one and _VARIANT.fullmatch(name):
                found.append(
                    {
                        "name": name,
                        "title": "minus" if name == "minus" else "image" if name == "0" else f"variant {name}",
                        "file": file,
                        "displayed": self._pictures.displayed(file, records.layer.slug, f"{unit}-{name}"),
                        "value": number(one.get("value")),
                        "command": text(one.get("command")),
                    }
                )
        return found

    def _crop(self, one: Json) -> dict[str, Any]:
        return {
            "file": self._source.file(one.get("file")),
            "image": text(one.get("image")) or "an image",
            "value": number(one.get("value")),
            "quantile": number(one.get("quantile")),
        }

    def _connection(self, one: Json) -> dict[str, Any]:
        slug, unit = one.get("slug"), whole(one.get("unit"))
        layer = self._layers.get(slug) if isinstance(slug, str) else None
        linked = self.link(layer, -1 if unit is None else unit, text(one.get("layer")))
        return linked | {"unit": unit, "strength": number(one.get("strength")), "kernel": kernel(one.get("kernel"))}

    def _effects(self, logits: Json, end: str) -> list[dict[str, Any]]:
        layer = self._source.by_name.get(text(logits.get("classes")) or "")
        rows = []
        for one in items(logits.get(end)):
            number_of_class, effect = whole(one.get("class")), number(one.get("effect"))
            if number_of_class is not None and effect is not None:
                linked = self.link(layer, number_of_class)
                rows.append({"class": number_of_class, "label": text(one.get("label")), "effect": effect, "href": linked["href"]})
        largest = max((abs(row["effect"]) for row in rows), default=1.0) or 1.0
        return [row | {"share": round(100 * abs(row["effect"]) / largest, 1)} for row in rows]
