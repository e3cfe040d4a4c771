"""Histograms and tuning curves as points of SVG; the templates draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamopt.atlas.site.source import Json, number, numbers, text

WIDTH, HEIGHT = 320.0, 120.0
"""Units of the drawings."""


def bars(survey: Json) -> list[dict[str, Any]]:
    """Return the bars of a histogram: x, y, width, height and what to say of each. Heights are square roots, so that tails are seen."""
    histogram = survey.get("histogram")
    edges = numbers(histogram.get("edges")) if isinstance(histogram, Mapping) else []
    counts = numbers(histogram.get("counts")) if isinstance(histogram, Mapping) else []
    if len(edges) != len(counts) + 1 or not counts or max(counts) <= 0 or edges[-1] <= edges[0]:
        return []
    largest, width = max(counts), edges[-1] - edges[0]
    drawn = []
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        height = HEIGHT * (max(count, 0) / largest) ** 0.5
        drawn.append(
            {
                "x": round((left - edges[0]) / width * WIDTH, 2),
                "y": round(HEIGHT - height, 2),
                "width": round(max((right - left) / width * WIDTH - 0.6, 0.4), 2),
                "height": round(height, 2),
                "from": left,
                "to": right,
                "count": int(count),
            }
        )
    return drawn


def curve(record: Json) -> dict[str, Any] | None:
    """Return a tuning curve: its points, its name, the best stimulus; None where it cannot be drawn."""
    at, response = numbers(record.get("at")), numbers(record.get("response"))
    if len(at) != len(response) or len(at) < 2 or at[-1] <= at[0]:
        return None
    low, high = min(0.0, *response), max(response)
    span = high - low or 1.0
    points = [
        (round((x - at[0]) / (at[-1] - at[0]) * WIDTH, 2), round(HEIGHT - (y - low) / span * HEIGHT, 2))
        for x, y in zip(at, response, strict=True)
    ]
    colours = [one for one in record.get("colours", []) if _is_colour(one)] if isinstance(record.get("colours"), list) else []
    return {
        "kind": text(record.get("kind")) or "curve",
        "unit": text(record.get("unit")) or "",
        "line": path(points),
        "area": path([(points[0][0], HEIGHT), *points, (points[-1][0], HEIGHT)]) + "Z",
        "points": points,
        "colours": colours if len(colours) == len(points) else [],
        "first": at[0],
        "last": at[-1],
        "highest": high,
        "best": number(record.get("best")),
        "selectivity": number(record.get("selectivity")),
    }


def path(points: Sequence[tuple[float, float]]) -> str:
    """Return the path through points.

    >>> path([(0, 1), (2, 3)])
    'M0 1L2 3'
    """
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def kernel(rows: Any) -> dict[str, Any] | None:
    """Return a small kernel as cells with a level of -9..9 each, the largest weight ±9; None for what is no matrix of 1..15 a side."""
    values = [numbers(row) for row in rows] if isinstance(rows, list) else []
    if not 1 <= len(values) <= 15 or not 1 <= len(values[0]) <= 15 or any(len(row) != len(values[0]) for row in values):
        return None
    largest = max(abs(value) for row in values for value in row) or 1.0
    cells = [{"x": x, "y": y, "level": round(9 * value / largest)} for y, row in enumerate(values) for x, value in enumerate(row)]
    return {"rows": len(values), "columns": len(values[0]), "cells": cells}


def _is_colour(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 7 and value[0] == "#" and all(c in "0123456789abcdefABCDEF" for c in value[1:])
