"""What the page of a unit shows, gathered from the records of an atlas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dreamopt.atlas.site.curves import bars
from dreamopt.atlas.site.findings import Findings, Link
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
        self._findings = Findings(source.layers, self._link)
        self._orders = {slug: (list(units), {unit: place for place, unit in enumerate(units)}) for slug, units in pages.items()}

    def context(self, records: LayerRecords, unit: int) -> dict[str, Any]:
        """Return what the template of a unit is filled with."""
        layer = records.layer
        order, places = self._orders[layer.slug]
        place = places.get(unit, 0)
        survey = records.of("survey", unit)
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
            **self._findings.context(records, unit),
            "previous": order[place - 1] if place > 0 else None,
            "next": order[place + 1] if place + 1 < len(order) else None,
        }

    def _link(self, layer: SiteLayer, unit: int) -> Link:
        pages = self._pages.get(layer.slug, {})
        picture = pages.get(unit, "")
        shown = self._pictures.displayed(picture, layer.slug, f"{unit}-0") if picture else None
        return Link(f"{layer.slug}/{unit}.html" if unit in pages else None, shown)

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
