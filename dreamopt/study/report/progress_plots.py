"""Plots of the way to the result: convergence, targets reached, profiles; against evaluations and against seconds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import combinations
from typing import Any

from dreamopt.statistics import Band, Curve
from dreamopt.study.analysis import Analysis
from dreamopt.study.report.drawing import Series, curves, panels
from dreamopt.study.report.plot import Plot, names_of, place_of
from dreamopt.study.report.style import short

_MOST_PAIRED = 4
"""Contestants whose pairs are drawn, the best ones: six pairs."""
_SMALLEST_STEP = 1 / 400
"""Of a share, that is drawn."""


def progress_plots(analysis: Analysis) -> list[Plot]:
    """Return the plots of the way to the result."""
    scope, plots = analysis.overall, list[Plot]()
    for axis in scope.convergence:
        said = f"The objective of the untransformed image along the run, median and quartiles over all runs, against {axis}."
        if axis == "seconds":
            said += " The clock stood still while images were measured and saved."
        plots.append(Plot(f"convergence_{axis}", "progress", f"Convergence, {axis}", said, partial(_convergence, analysis, axis)))
    targets = f"{analysis.reference} reaches after {', '.join(map(str, scope.targets))} evaluations"
    for axis in scope.ecdf:
        said = f"The share of targets, over units and seeds, that were reached within so many {axis}. Targets are what {targets}."
        plots.append(Plot(f"ecdf_{axis}", "targets", f"Targets reached, {axis}", said, partial(_steps, analysis, scope.ecdf[axis], axis)))
    for axis in scope.profiles:
        said = "The share of (target, unit, seed) that a contestant reaches within so many times what the fastest of all takes. At 1: how "
        said += "often it is the fastest; at the right: how much it reaches at all. Who takes part changes these curves: see the pairs."
        draw = partial(_steps, analysis, scope.profiles[axis], f"{axis}, times the fastest's", first=1.0)
        plots.append(Plot(f"profile_{axis}", "profiles", f"Performance profile, {axis}", said, draw))
    for axis, pairs in scope.pair_profiles.items():
        if len(analysis.contestants) > 2 and pairs:
            said = f"The same when only two are compared, for the {min(_MOST_PAIRED, len(analysis.contestants))} best contestants."
            draw = partial(_pairs, analysis, axis)
            plots.append(Plot(f"profile_pairs_{axis}", "profiles", f"Performance profiles of pairs, {axis}", said, draw, wide=True))
    for tolerance, lines in scope.data_profiles.items():
        said = (
            f"The share of units and seeds on which {1 - float(tolerance):.0%} of the way from the start to the best that anybody reached "
        )
        said += "was made within so many evaluations."
        name = f"data_profile_{tolerance.replace('.', '_')}"
        plots.append(
            Plot(name, "profiles", f"Data profile, within {float(tolerance):.0%}", said, partial(_steps, analysis, lines, "evaluations"))
        )
    return plots


def _convergence(analysis: Analysis, axis: str) -> Any:
    bands: Mapping[str, Band] = analysis.overall.convergence[axis]
    series = [
        Series(name, place_of(analysis, name), bands[name].x, bands[name].middle, bands[name].low, bands[name].high)
        for name in names_of(analysis)
        if name in bands
    ]
    return curves(series, axis, f"objective (0: start, 1: {analysis.reference})", log=True, level=1.0)


def _steps(analysis: Analysis, lines: Mapping[str, Curve], x: str, first: float | None = None) -> Any:
    return curves(_series(analysis, lines, first), x, "share reached", log=True, steps=True)


def _series(analysis: Analysis, lines: Mapping[str, Curve], first: float | None = None) -> list[Series]:
    """Return curves up to a common right end, from a common left one."""
    last = max((line.x[-1] for line in lines.values() if line.x), default=1.0)
    series = []
    for name in names_of(analysis):
        if name in lines:
            x, y = _thinned(lines[name])
            if first is not None and (not x or x[0] > first):
                x, y = [first, *x], [0.0, *y]
            if x and y:
                x, y = [*x, last], [*y, y[-1]]
            series.append(Series(name, place_of(analysis, name), x, y))
    return series


def _thinned(line: Curve) -> tuple[list[float], list[float]]:
    """Return a curve without steps that are too small to be seen."""
    x, y = list[float](), list[float]()
    for place, height in zip(line.x, line.y, strict=True):
        if not y or abs(height - y[-1]) >= _SMALLEST_STEP or place == line.x[-1]:
            x.append(place)
            y.append(height)
    return x, y


def _pairs(analysis: Analysis, axis: str) -> Any:
    profiles = analysis.overall.pair_profiles[axis]
    best = analysis.overall.ranking[:_MOST_PAIRED]
    titles, series = [], []
    for a, b in combinations(best, 2):
        lines = {one: profiles.get(f"{one} against {other}", Curve()) for one, other in ((a, b), (b, a))}
        titles.append(f"{short(a, 18)} / {short(b, 18)}")
        series.append(_series(analysis, lines, 1.0))
    return panels(titles, series, f"{axis}, times the faster one's", "share reached")
