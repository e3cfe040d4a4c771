"""Plots of the measures: what a better criterion costs in variation, time and the like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from dreamopt.study.analysis import Analysis
from dreamopt.study.report.drawing import Series, scatter
from dreamopt.study.report.plot import Plot, names_of, place_of, points_words, scale_of
from dreamopt.study.run import Row

_MOST, _FIRST = 6, "total_variation"


def measure_plots(analysis: Analysis, rows: Sequence[Row]) -> list[Plot]:
    """Return one plot of the criterion against each other measure, at most six; total variation first."""
    known = {name: measure for one in analysis.overall.standings for name, measure in one.measures.items()}
    others = sorted((name for name in known if name != analysis.criterion), key=lambda name: (name != _FIRST, name))
    plots = list[Plot]()
    for name in others:
        points = _points(analysis, rows, name)
        if any(points.values()):
            number, unit = len(plots), known[name].unit
            better = {"higher": ", more is better", "lower": ", less is better"}.get(known[name].better, "")
            caption = (
                f"Means over seeds, {points_words(analysis.overall, 'small sign')}; the large signs are a contestant's medians{better}."
            )
            label = name if unit in ("", "1") else f"{name} / {unit}"
            title = f"{analysis.criterion} against {name}"
            plots.append(Plot(f"measure_{number}", "measures", title, caption, partial(_scatter, analysis, points, label)))
    return plots[:_MOST]


def _points(analysis: Analysis, rows: Sequence[Row], measure: str) -> dict[str, list[tuple[float, float]]]:
    """Return by contestant the measure's mean over seeds and the criterion's, of each unit that has both."""
    several = len({row.net for row in rows}) > 1
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        value = row.measures.get(measure)
        scored = row.phase == ("reference" if row.contestant == analysis.reference else "score")
        if scored and row.status == "done" and value is not None and math.isfinite(value):
            values.setdefault((row.contestant, f"{row.net} {row.unit}" if several else row.unit), []).append(value)
    return {
        name: [
            (float(np.mean(values[name, unit])), height)
            for unit, height in analysis.overall.standing(name).values.items()
            if (name, unit) in values and math.isfinite(height)
        ]
        for name in names_of(analysis)
    }


def _scatter(analysis: Analysis, points: dict[str, list[tuple[float, float]]], label: str) -> Any:
    series = [
        Series(name, place_of(analysis, name), [x for x, _ in pairs], [y for _, y in pairs]) for name, pairs in points.items() if pairs
    ]
    return scatter(series, label, scale_of(analysis))
