"""Plots of tuning: how much the criterion depends on a tuned setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from dreamopt.statistics import Sensitivity
from dreamopt.study.analysis import Analysis, Tuning
from dreamopt.study.report.drawing import Series, draw_line, finite, legend, log_axis
from dreamopt.study.report.plot import Plot, place_of
from dreamopt.study.report.style import INK, LONGEST_LABEL, colour, marker, new_figure, short


def tuning_plots(analysis: Analysis) -> list[Plot]:
    """Return one plot of each tuned setting on each net, with all contestants that tune it."""
    groups: dict[tuple[str, str], list[tuple[Tuning, Sensitivity]]] = {}
    for tuning in analysis.tuning:
        for one in tuning.sensitivity:
            groups.setdefault((one.axis, tuning.net), []).append((tuning, one))
    several = len({net for _, net in groups}) > 1
    plots = []
    for number, ((axis, net), lines) in enumerate(groups.items()):
        caption = "The criterion on the tuning units, median and quartiles over units and seeds; the ringed value was chosen. "
        caption += "A flat line: the setting hardly matters, and is likely to suit other nets."
        title = f"Sensitivity to {axis}{f', {net}' if several else ''}"
        plots.append(Plot(f"sensitivity_{number}", "tuning", title, caption, partial(_sensitivity, analysis, axis, lines)))
    return plots


def _sensitivity(analysis: Analysis, axis: str, lines: Sequence[tuple[Tuning, Sensitivity]]) -> Any:
    figure = new_figure(height=2.9 + 0.17 * math.ceil(len(lines) / 2))
    axes = figure.subplots()
    values = list(dict.fromkeys(value for _, one in lines for value in one.values))
    numbers = [value for value in values if isinstance(value, int | float)]
    are_numbers = len(numbers) == len(values)
    for tuning, one in lines:
        place = place_of(analysis, tuning.contestant)
        x = [float(value) if are_numbers else float(values.index(value)) for value in one.values]
        draw_line(axes, Series(tuning.contestant, place, x, one.middle, one.lower, one.upper), opacity=0.14 if len(lines) < 4 else 0.06)
        heights = finite(one.middle)
        axes.plot(x, heights, marker=marker(place), markersize=4, color=colour(place), linestyle="none")
        if one.chosen in one.values:
            at = one.values.index(one.chosen)
            axes.plot([x[at]], [heights[at]], "o", markersize=11, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1)
    if are_numbers and all(one.log for _, one in lines) and min(numbers, default=0) > 0:
        log_axis(axes.xaxis, np.array(numbers, dtype=float))
    elif not are_numbers:
        axes.set_xticks(range(len(values)), [short(value, 14) for value in values], rotation=25 if len(values) > 4 else 0)
    axes.set_xlabel(short(axis, LONGEST_LABEL))
    axes.set_ylabel(short(f"{analysis.criterion}, tuning units", LONGEST_LABEL))
    legend(figure, axes)
    return figure
