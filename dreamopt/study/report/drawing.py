"""Kinds of plots, drawn from plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dreamopt.study.report.style import FAINT, INK, LINE, PAPER, colour, dash, marker, new_figure, short

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """A line of a plot.

    Parameters
    ----------
    name : str
        Of the contestant.
    place : int
        Its number, which chooses colour and style.
    x, y : array
        Where it runs; not a number: a gap.
    low, high : array, optional
        The band about it.
    """

    name: str
    place: int
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None


def curves(
    series: Sequence[Series], x: str, y: str, *, log: bool = False, steps: bool = False, level: float | None = None, level_name: str = ""
) -> Any:
    """Draw lines with bands.

    Parameters
    ----------
    series : sequence of Series
    x, y : str
        What the axes show.
    log : bool
        Whether x is logarithmic.
    steps : bool
        Whether a line keeps its height up to the next point, as a distribution does.
    level : float, optional
        Where a horizontal line is drawn.
    level_name : str
        What that line is.
    """
    figure, axes = _figure(len(series))
    style = "steps-post" if steps else "default"
    for one in series:
        place = one.place
        axes.plot(one.x, one.y, color=colour(place), linestyle=dash(place), drawstyle=style, label=short(one.name))
        if one.low is not None and one.high is not None:
            step = {"step": "post"} if steps else {}
            axes.fill_between(one.x, one.low, one.high, color=colour(place), alpha=0.13, linewidth=0, **step)
    if level is not None:
        axes.axhline(level, color=FAINT, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        if level_name:
            axes.annotate(
                level_name, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8, color=FAINT,
                xytext=(0, 2), textcoords="offset points",
            )  # fmt: skip
    if log:
        log_axis(axes.xaxis, np.concatenate([np.asarray(one.x, dtype=float) for one in series]))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if steps:
        axes.set_ylim(-0.02, 1.03)
    _legend(figure, axes, series)
    return figure


def log_axis(axis: Any, values: Numbers) -> None:
    """Make an axis logarithmic, to 2 or 10 as its length is, with plain numbers on it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    positive = values[np.isfinite(values) & (values > 0)]
    span = float(positive.max() / positive.min()) if positive.size else 1.0
    axis._set_axes_scale("log")
    base, subs = (10.0, (1.0,)) if span > 3000 else (10.0, (1.0, 3.0)) if span > 60 else (2.0, (1.0,))
    axis.set_major_locator(LogLocator(base=base, subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())


def intervals(names: Sequence[str], places: Sequence[int], middles: ArrayLike, lows: ArrayLike, highs: ArrayLike, x: str, at: float) -> Any:
    """Draw one row of each name: its number and the interval about it, beside a vertical line."""
    figure = new_figure(height=max(1.5, 0.7 + 0.34 * len(names)))
    axes = figure.subplots()
    middle, low, high = (np.asarray(values, dtype=float) for values in (middles, lows, highs))
    axes.axvline(at, color=FAINT, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    for row, place in enumerate(places):
        if math.isfinite(low[row]) and math.isfinite(high[row]):
            axes.plot([low[row], high[row]], [row, row], color=colour(place), linewidth=2.2, solid_capstyle="butt")
        axes.plot([middle[row]], [row], marker=marker(place), color=colour(place), markersize=6, markeredgecolor=PAPER, linestyle="none")
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(x)
    return figure


def matrix(names: Sequence[str], values: ArrayLike, label: str, *, columns: Sequence[str] | None = None, digits: int = 2) -> Any:
    """Draw numbers from 0 to 1 as coloured cells with the numbers in them; from blue over white to orange."""
    from matplotlib.colors import LinearSegmentedColormap

    cells = np.asarray(values, dtype=float)
    across = [short(name, 18) for name in (names if columns is None else columns)]
    side = max(len(names), 3)
    figure = new_figure(max(3.6, min(1.6 + 0.55 * len(across), 7.5)), max(2.4, min(1.2 + 0.42 * side, 6.5)))
    axes = figure.subplots()
    shades = LinearSegmentedColormap.from_list("both", ["#c05a00", "#f6d7bb", "#f7f7f7", "#bcdcf0", "#00629b"])
    shades.set_bad(LINE)
    axes.pcolormesh(np.ma.masked_invalid(cells), cmap=shades, vmin=0, vmax=1, edgecolor=PAPER, linewidth=1.2)
    for row, column in np.ndindex(*cells.shape):
        value = cells[row, column]
        text, dark = ("–", False) if not math.isfinite(value) else (f"{value:.{digits}f}", abs(value - 0.5) > 0.33)
        ink = "#ffffff" if dark else "#111111"  # the cell's own colour is behind it, whatever the page's
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8.5, color=ink)
    axes.set_yticks(np.arange(len(names)) + 0.5, [short(name, 22) for name in names])
    axes.set_xticks(np.arange(len(across)) + 0.5, across, rotation=35 if max(map(len, across), default=0) > 5 else 0, ha="right")
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(label)
    return figure


def scatter(series: Sequence[Series], x: str, y: str) -> Any:
    """Draw points, those of each contestant in its colour and form, and its medians larger."""
    figure, axes = _figure(len(series))
    for one in series:
        kind = {"color": colour(one.place), "marker": marker(one.place), "linestyle": "none"}
        axes.plot(one.x, one.y, markersize=3.6, alpha=0.45, markeredgewidth=0, **kind)
        if np.size(one.x):
            middle = [np.median(np.asarray(one.x))], [np.median(np.asarray(one.y))]
            axes.plot(*middle, markersize=9, markeredgecolor=INK, markeredgewidth=0.8, label=short(one.name), **kind)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    _legend(figure, axes, series)
    return figure


def _figure(count: int) -> tuple[Any, Any]:
    """Return a figure with room for a legend of so many names below."""
    figure = new_figure(height=3.1 + 0.17 * math.ceil(count / 2))
    return figure, figure.subplots()


def _legend(figure: Any, axes: Any, series: Sequence[Series]) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        wide = max(len(label) for label in labels) > 22
        figure.legend(handles, labels, loc="outside lower center", ncols=1 if wide and len(series) < 5 else 2, handlelength=2.6)
