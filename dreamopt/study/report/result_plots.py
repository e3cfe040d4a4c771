"""Plots of the result: the criterion, its paired differences, who wins how often, ranks, units."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from dreamopt.study.analysis import Analysis, Scope
from dreamopt.study.report.drawing import Interval, intervals, matrix
from dreamopt.study.report.plot import Plot, names_of, place_of, points_words, scale_of

_MOST_UNITS = 48
"""Rows of the table of units that can still be read."""


def result_plots(analysis: Analysis) -> list[Plot]:
    """Return the plots of the result."""
    percent = f"{analysis.confidence:.0%}"
    scope = analysis.overall
    strokes = points_words(scope, "stroke")
    plots = [
        Plot(
            "differences", "result", f"Difference to {analysis.reference}",
            f"The interquartile mean of the units' paired differences with its {percent} interval; {strokes}. Where the "
            "interval crosses the dotted line, the two cannot be distinguished.",
            partial(_differences, analysis, scope),
        ),
        Plot(
            "criterion", "result", f"The criterion, {analysis.criterion}",
            f"The interquartile mean over units and seeds with its stratified bootstrap {percent} interval; {strokes}.",
            partial(_criterion, analysis),
        ),
        Plot(
            "wins", "result", "Who wins how often",
            "The share of paired runs in which the row's contestant is better than the column's; ties are half a win.",
            partial(_wins, analysis),
        ),
        Plot(
            "ranks", "result", "Mean rank over units",
            "1 is the best on every unit." + _friedman(scope), partial(_ranks, analysis),
        ),
    ]  # fmt: skip
    units = list(dict.fromkeys(unit for one in scope.standings for unit in one.values))
    if 1 < len(units) <= _MOST_UNITS and analysis.normalized:
        caption = f"Means over seeds, {scale_of(analysis)}; white is as good as the reference, blue better. A dash: a failed run, or none."
        plots.append(Plot("units", "result", "Unit by unit", caption, partial(_units, analysis, units)))
    for net in analysis.scopes[1:]:
        number = analysis.scopes.index(net)
        caption = f"As the difference over all nets, on the units of {net.name} alone."
        plots.append(Plot(f"differences_net{number}", "nets", f"{net.name}: difference", caption, partial(_differences, analysis, net)))
    return plots


def _friedman(scope: Scope) -> str:
    return "" if math.isnan(scope.friedman) else f" Friedman's test of all contestants being alike: p = {scope.friedman:.2g}."


def _differences(analysis: Analysis, scope: Scope) -> Any:
    rows = []
    for name in scope.ranking:
        pair = next((pair for pair in scope.pairs if (pair.first, pair.second) == (name, analysis.reference)), None)
        if pair is not None:
            own = pair.difference
            points = tuple(pair.differences.values())
            rows.append(Interval(name, place_of(analysis, name), own.value, own.low, own.high, points))
    return intervals(rows, f"difference of {analysis.criterion} to {analysis.reference}", 0.0)


def _criterion(analysis: Analysis) -> Any:
    rows = []
    for name in names_of(analysis):
        one = analysis.overall.standing(name)
        rows.append(
            Interval(name, place_of(analysis, name), one.iqm.value, one.iqm.low, one.iqm.high, tuple(one.values.values())),
        )
    return intervals(rows, scale_of(analysis), 1.0 if analysis.normalized else None)


def _wins(analysis: Analysis) -> Any:
    names = tuple(names_of(analysis))
    wins = np.array(analysis.overall.win_matrix(names), dtype=float)
    np.fill_diagonal(wins, math.nan)
    return matrix(names, wins, "against")


def _ranks(analysis: Analysis) -> Any:
    scope = analysis.overall
    standings = sorted((scope.standing(name) for name in scope.ranking), key=lambda one: (math.isnan(one.mean_rank), one.mean_rank))
    rows = [Interval(one.contestant, place_of(analysis, one.contestant), one.mean_rank, math.nan, math.nan) for one in standings]
    return intervals(rows, "mean rank over units", 1.0)


def _units(analysis: Analysis, units: list[str]) -> Any:
    names = names_of(analysis)
    values = [[analysis.overall.standing(name).values.get(unit, math.nan) for name in names] for unit in units]
    return matrix(units, values, "", names, centre=1.0)
