"""What the page of a layer shows: its units as data for the grid, and its activation atlases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dreamopt.atlas.site.layer_records import LayerRecords
from dreamopt.atlas.site.pictures import Pictures
from dreamopt.atlas.site.source import Json, SiteLayer, items, number, text, whole
from dreamopt.atlas.site.thumbnails import ACROSS, ENDING
from dreamopt.errors import printable

CODES = {"": "-", "active": "a", "dead": "d", "always on": "o", "failed": "f"}
"""How a unit's state is written in the data."""
_ONE, _TWO = re.compile(r"class-(\d+)"), re.compile(r"compare-(\d+)-(\d+)")


def grid_data(records: LayerRecords, pictures: Mapping[int, str], sheets: list[str]) -> dict[str, Any]:
    """Return the columns of a layer's grid: units, labels, values, states, shares of zeros, places on the sheets of thumbnails."""
    units = records.units()
    places = {unit: place for place, unit in enumerate(pictures)}
    labels = [records.layer.label(unit) for unit in units]
    zeros = [_rounded(records.zeros(unit)) for unit in units]
    return {
        "name": printable(records.layer.name),
        "units": units,
        "labels": [None if label is None else printable(label, 200) for label in labels] if any(labels) else None,
        "values": [_rounded(records.value(unit)) for unit in units],
        "states": "".join(CODES[records.state(unit)] for unit in units),
        "zeros": zeros if any(one is not None for one in zeros) else None,
        "places": [places.get(unit, -1) for unit in units],
        "sheets": sheets,
        "across": ACROSS,
        "count": len(pictures),
        "ending": ENDING,
    }


def maps(records: LayerRecords, pictures: Pictures, classes: SiteLayer | None) -> list[dict[str, Any]]:
    """Return the activation atlases of a layer, the one of everything first."""
    found = []
    for name, atlas in sorted(records.atlases.items(), key=lambda item: (item[0] != "all", "compare" in item[0], item[0])):
        drawn = pictures.atlas(records.layer.slug, atlas)
        if drawn is not None and re.fullmatch(r"[a-z0-9-]+", name):
            file, rows, columns = drawn
            cells = [cell for one in items(atlas.get("cells")) if (cell := _cell(one, rows, columns)) is not None]
            title, kind, short = _title(name, classes)
            found.append(
                {
                    "name": name,
                    "title": title,
                    "short": short,
                    "kind": kind,
                    "file": file,
                    "rows": rows,
                    "columns": columns,
                    "count": whole(atlas.get("count")),
                    "cells": sorted(cells, key=lambda cell: (cell["row"], cell["col"])),
                }
            )
    return found


def _cell(one: Json, rows: int, columns: int) -> dict[str, Any] | None:
    row, col = whole(one.get("row")), whole(one.get("col"))
    if row is None or col is None or row >= rows or col >= columns:
        return None
    support = [
        {"name": text(entry.get("label")) or f"class {entry.get('class')}", "effect": number(entry.get("effect"))}
        for entry in items(one.get("support"))[:6]
    ]
    return {"row": row, "col": col, "count": whole(one.get("count")), "label": text(one.get("label")), "support": support}


def _title(name: str, classes: SiteLayer | None) -> tuple[str, str, str]:
    def label(digits: str) -> str | None:
        return classes.label(int(digits)) if classes is not None else None

    def class_name(digits: str) -> str:
        return f"{digits} ({label(digits)})" if label(digits) else digits

    if single := _ONE.fullmatch(name):
        return f"Class {class_name(single[1])}", "class atlas", label(single[1]) or f"Class {single[1]}"
    if both := _TWO.fullmatch(name):
        one, other = (label(digits) or digits for digits in both.groups())
        return f"Class {class_name(both[1])} beside class {class_name(both[2])}", "two classes compared", f"{one} beside {other}"
    title = "Everything it saw" if name == "all" else name
    return title, "activation atlas", "Activation atlas" if name == "all" else name


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
