"""Kinds of plots, drawn from plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dreamopt.study.report.style import FAINT, INK, LINE, LONGEST_LABEL, PAPER, SIZE, colour, dash, marker, new_figure, short

Numbers = NDArray[np.float64]
_LOWEST = -0.5
"""Where the common scale is cut below, so that one contestant that falls far below the start leaves room for the others."""
MOST_POINTS = 100
"""Units of a contestant that are drawn one by one; of more, so many that are evenly chosen."""


@dataclass(frozen=True, eq=False)
class Series:
    """A line of a plot.

    Parameters
    ----------
    name : str
        Of the contestant.
    place : int
        Its number, which chooses colour and style.
    x, y : array_like, (P,)
        Where it runs; not a number: a gap.
    low, high : array_like, (P,), optional
        The band about it.
    """

    name: str
    place: int
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None


@dataclass(frozen=True)
class Interval:
    """A number with its interval, and what it is made of.

    Parameters
    ----------
    name, place
        As of a `Series`.
    value, low, high : float
        Infinite where failures decide it; not a number where there is none.
    points : tuple of float
        Those of the units, behind it.
    """

    name: str
    place: int
    value: float
    low: float
    high: float
    points: tuple[float, ...] = ()


def curves(
    series: Sequence[Series],
    x: str,
    y: str,
    *,
    log: bool = False,
    steps: bool = False,
    level: float | None = None,
    level_name: str = "",
    size: tuple[float, float] | None = None,
) -> Any:
    """Draw lines with bands.

    Parameters
    ----------
    series : sequence of Series
    x, y : str
        What the axes show.
    log : bool
        Whether x is logarithmic; points at 0 are left out then.
    steps : bool
        Whether a line keeps its height up to the next point, as a distribution does, whose heights are from 0 to 1.
    level : float, optional
        Where a horizontal line is drawn.
    level_name : str
        What that line is.
    size : (float, float), optional
        Inches, where it is another than usual.
    """
    figure = _figure(len(series)) if size is None else new_figure(*size)
    axes = figure.subplots()
    for one in series:
        draw_line(axes, one, steps)
    if level is not None:
        axes.axhline(level, color=FAINT, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        if level_name:
            axes.annotate(
                level_name, (0, level), xycoords=("axes fraction", "data"), ha="left", va="bottom", fontsize=8, color=FAINT,
                xytext=(4, 2), textcoords="offset points",
            )  # fmt: skip
    if log:
        log_axis(axes.xaxis, np.concatenate([np.zeros(0), *(np.asarray(one.x, dtype=float) for one in series)]))
    axes.set_xlabel(short(x, LONGEST_LABEL))
    axes.set_ylabel(short(y, LONGEST_LABEL))
    if steps:
        axes.set_ylim(-0.02, 1.03)
    elif axes.get_ylim()[0] < _LOWEST:
        axes.set_ylim(bottom=_LOWEST)
    legend(figure, axes)
    return figure


def draw_line(axes: Any, one: Series, steps: bool = False, opacity: float = 0.14) -> None:
    """Draw a line and its band of an opacity, gaps where there is no finite number."""
    x, y = finite(one.x), finite(one.y)
    style = "steps-post" if steps else "default"
    axes.plot(x, y, color=colour(one.place), linestyle=dash(one.place), drawstyle=style, label=short(one.name))
    if one.low is not None and one.high is not None:
        axes.fill_between(x, finite(one.low), finite(one.high), color=colour(one.place), alpha=opacity, linewidth=0)


def log_axis(axis: Any, values: Numbers) -> None:
    """Make an axis logarithmic, with plain numbers at powers of 2 or of 10, as its length is."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return
    span = float(positive.max() / positive.min())
    (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("log")
    base, subs = 10.0, [1.0]
    if span <= 60:  # powers of 2 for counts and ratios, 0.1 0.2 0.5 for fractions
        base, subs = (10.0, [1.0, 2.0, 5.0]) if positive.size and positive.min() < 0.3 else (2.0, [1.0])
    elif span <= 3000:
        subs = [1.0, 3.0]
    axis.set_major_locator(LogLocator(base=base, subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())


def intervals(rows: Sequence[Interval], x: str, at: float | None = None) -> Any:
    """Draw one row of each name: its number, the interval about it and the units behind it, beside a vertical line.

    An end that is infinite, because runs failed, is drawn as an arrow at the edge.
    """
    figure = new_figure(height=max(1.6, 0.75 + 0.38 * len(rows)))
    axes = figure.subplots()
    ends = [value for one in rows for value in (one.value, one.low, one.high) if math.isfinite(value)] + ([] if at is None else [at])
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    points = np.array([value for one in rows for value in one.points if math.isfinite(value)])
    if points.size:  # a unit that is far off is at the edge, rather than squeezing all the others
        low, high = min(low, float(np.quantile(points, 0.02))), max(high, float(np.quantile(points, 0.98)))
    margin = 0.06 * (high - low) if high > low else 0.5
    left, right = low - margin, high + margin
    if at is not None:
        axes.axvline(at, color=FAINT, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    for row, one in enumerate(rows):
        shade = colour(one.place)
        own = np.clip(_chosen(np.sort(finite(one.points))), left, right)
        axes.plot(own, np.full(own.shape, row + 0.3), "|", color=shade, alpha=0.55, markersize=5, zorder=1.5)
        for end in (one.low, one.high):
            if math.isinf(end):
                axes.plot([left if end < 0 else right], [row], marker="<" if end < 0 else ">", color=shade, markersize=6, clip_on=False)
        if not (math.isnan(one.low) or math.isnan(one.high)):
            axes.plot(np.clip([one.low, one.high], left, right), [row, row], color=shade, linewidth=2.4, solid_capstyle="butt")
        if math.isfinite(one.value):
            axes.plot([one.value], [row], marker=marker(one.place), color=shade, markersize=7, markeredgecolor=PAPER, linestyle="none")
        elif math.isnan(one.value):
            axes.annotate("no runs", (0.5, row), xycoords=("axes fraction", "data"), ha="center", va="center", fontsize=8, color=FAINT)
    axes.set_xlim(left, right)
    axes.set_yticks(range(len(rows)), [short(one.name) for one in rows])
    axes.set_ylim(len(rows) - 0.35, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(short(x, LONGEST_LABEL))
    return figure


def matrix(names: Sequence[str], values: ArrayLike, label: str, columns: Sequence[str] | None = None, centre: float = 0.5) -> Any:
    """Draw numbers as coloured cells with the numbers in them: white at ``centre``, blue above it, orange below."""
    from matplotlib.colors import LinearSegmentedColormap

    cells = finite(values)
    across = [short(name, 18) for name in (names if columns is None else columns)]
    away = float(np.nanmax(np.abs(cells - centre), initial=0.0)) if np.isfinite(cells).any() else 0.0
    reach = max(away, 0.5) if centre == 0.5 else min(max(away, 1e-9), 1.0)
    figure = new_figure(min(max(SIZE[0], 2.0 + 0.52 * len(across)), 9.4), max(2.2, 1.1 + 0.3 * len(names)))
    axes = figure.subplots()
    shades = LinearSegmentedColormap.from_list("both", ["#c05a00", "#f6d7bb", "#f7f7f7", "#bcdcf0", "#00629b"]).with_extremes(bad=LINE)
    limits = {"vmin": centre - reach, "vmax": centre + reach}
    axes.pcolormesh(np.ma.masked_invalid(cells), cmap=shades, edgecolor=PAPER, linewidth=1.2, **limits)
    for row, column in np.ndindex(*cells.shape):
        value = cells[row, column]
        known = math.isfinite(value)
        ink = "#ffffff" if known and abs(value - centre) > 0.8 * reach else "#111111"  # the cell's own colour is behind it
        axes.text(column + 0.5, row + 0.5, f"{value:.2f}" if known else "–", ha="center", va="center", fontsize=8, color=ink)
    axes.set_yticks(np.arange(len(names)) + 0.5, [short(name, 22) for name in names])
    turned = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if max(map(len, across), default=0) > 5 else {}
    axes.set_xticks(np.arange(len(across)) + 0.5, across, **turned)
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(label)
    return figure


def scatter(series: Sequence[Series], x: str, y: str) -> Any:
    """Draw points, those of each contestant in its colour and form, and its medians larger."""
    figure = _figure(len(series))
    axes = figure.subplots()
    for one in series:
        kind = {"color": colour(one.place), "marker": marker(one.place), "linestyle": "none"}
        across, up = finite(one.x), finite(one.y)
        both = np.isfinite(across) & np.isfinite(up)
        if not both.any():
            continue
        axes.plot(_chosen(across[both]), _chosen(up[both]), markersize=3.6, alpha=0.45, markeredgewidth=0, **kind)
        middle = [np.median(across[both])], [np.median(up[both])]
        axes.plot(*middle, markersize=9, markeredgecolor=INK, markeredgewidth=0.8, label=short(one.name), **kind)
    axes.set_xlabel(short(x, LONGEST_LABEL))
    axes.set_ylabel(short(y, LONGEST_LABEL))
    legend(figure, axes)
    return figure


def panels(titles: Sequence[str], series: Sequence[Sequence[Series]], x: str, y: str, across: int = 3) -> Any:
    """Draw several small plots of steps on common logarithmic axes, each with its title."""
    down = math.ceil(len(titles) / across)
    figure = new_figure(2 * SIZE[0], 0.7 + 1.9 * down)
    grid = np.ravel(figure.subplots(down, across, sharex=True, sharey=True, squeeze=False))
    for axes, title, lines in zip(grid, titles, series, strict=False):
        for one in lines:
            draw_line(axes, one, steps=True)
        axes.set_title(title, fontsize=8.5)
        axes.set_ylim(-0.02, 1.03)
    every = [np.asarray(one.x, dtype=float) for lines in series for one in lines]
    log_axis(grid[0].xaxis, np.concatenate([np.zeros(0), *every]))
    for axes in grid[len(titles) :]:
        axes.set_visible(False)
    figure.supxlabel(short(x, LONGEST_LABEL), fontsize=9)
    figure.supylabel(short(y, LONGEST_LABEL), fontsize=9)
    return figure


def legend(figure: Any, axes: Any) -> None:
    """Name the lines below the plot."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        wide = max(len(label) for label in labels) > 24
        figure.legend(handles, labels, loc="outside lower center", ncols=1 if wide and len(labels) < 4 else 2, handlelength=2.8)


def finite(values: ArrayLike) -> Numbers:
    """Return numbers, those that are not finite as gaps."""
    numbers = np.array(values, dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _chosen(values: Numbers) -> Numbers:
    """Return at most `MOST_POINTS` of an array, at equal distances in it."""
    return values if len(values) <= MOST_POINTS else values[np.linspace(0, len(values) - 1, MOST_POINTS).round().astype(int)]


def _figure(count: int) -> Any:
    """Return a figure with room for a legend of so many names below."""
    return new_figure(height=2.9 + 0.17 * math.ceil(count / 2))
