"""Curves of a study: steps, and bands over runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dreamopt.statistics.numbers import Array, json_number, median, quantile
from dreamopt.statistics.runtimes import Points


@dataclass(frozen=True)
class Curve:
    """A curve of steps: each y holds from its x on, up to the next.

    Parameters
    ----------
    x, y : tuple of float
        Of one length; x rising.
    """

    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def at(self, x: float) -> float:
        """Return the height at a place; left of all steps, 0."""
        place = int(np.searchsorted(self.x, x, side="right"))
        return self.y[place - 1] if place else 0.0

    def describe(self) -> dict[str, Any]:
        """Return the curve fit for JSON."""
        return {"x": [json_number(value) for value in self.x], "y": [json_number(value) for value in self.y]}


@dataclass(frozen=True)
class Band:
    """What runs had reached at common points: the median, and the quartiles around it.

    Parameters
    ----------
    x : tuple of float
        Evaluations or seconds; rising.
    low, middle, high : tuple of float
        Quartile, median, quartile at each; minus infinity where failed runs reach that far.
    runs : int
        Behind each point.
    """

    x: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    middle: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    runs: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the band fit for JSON."""
        lines = {name: [json_number(value) for value in getattr(self, name)] for name in ("x", "low", "middle", "high")}
        return {**lines, "runs": self.runs}


def ecdf(times: ArrayLike) -> Curve:
    """Return the share of times that are at most x: the empirical distribution, in which infinite ones count as never.

    Parameters
    ----------
    times : array_like
        Spent to reach each target on each unit by each run; those that are not a number (no such run) are left out.

    References
    ----------
    Runtime distributions over targets and problems: N. Hansen et al., COCO: Performance Assessment, arXiv 1605.03560, section 6.

    Examples
    --------
    >>> ecdf([8, 16, 8, np.inf])
    Curve(x=(8.0, 16.0), y=(0.5, 0.75))
    """
    values = np.asarray(times, np.float64).ravel()
    values = values[~np.isnan(values)]
    places, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    return Curve(tuple(places.tolist()), tuple((np.cumsum(counts) / max(values.size, 1)).tolist()))


def values_at(points: Points, grid: ArrayLike, stays: bool = False) -> Array:
    """Return a run's value at common points: that of its last measured point up to there.

    Parameters
    ----------
    points : (array_like, array_like), (P,) each
        Spent, rising, and values.
    grid : array_like, (G,)
        Where to look.
    stays : bool
        Whether the value holds beyond the last point, as of a run that stopped by itself; else it is not a number there.

    Examples
    --------
    >>> values_at(([0, 10, 20], [1, 2, 5]), [0, 9, 10, 20, 21]).tolist()
    [1.0, 1.0, 2.0, 5.0, nan]
    """
    spent, values, grid = np.asarray(points[0], np.float64), np.asarray(points[1], np.float64), np.asarray(grid, np.float64)
    values = np.where(np.isnan(values), -np.inf, values)
    places = np.searchsorted(spent, grid, side="right")
    at = np.concatenate([[np.nan], values])[places]
    if len(spent) and not stays:
        at[grid > spent[-1]] = np.nan
    return np.asarray(at)


def bands(values: Sequence[Array] | Array, grid: ArrayLike) -> Band:
    """Return median and quartiles over runs, at the points where every run has a value.

    Parameters
    ----------
    values : array_like, (runs, G)
        By `values_at`; of failed runs minus infinity everywhere.
    grid : array_like, (G,)
        Evaluations or seconds.

    Examples
    --------
    >>> bands([[0, 1, 2], [0, 3, 4], [0, 5, np.nan]], [0, 8, 16])
    Band(x=(0.0, 8.0), low=(0.0, 2.0), middle=(0.0, 3.0), high=(0.0, 4.0), runs=3)
    """
    runs = np.asarray(values, np.float64)
    if not runs.size:
        return Band()
    everywhere = ~np.isnan(runs).any(0)
    runs = runs[:, everywhere]
    if not runs.size:
        return Band(runs=len(values))
    x = np.asarray(grid, np.float64)[everywhere]
    low, middle, high = (tuple(line.tolist()) for line in (quantile(runs, 0.25, 0), median(runs, 0), quantile(runs, 0.75, 0)))
    return Band(tuple(x.tolist()), low, middle, high, len(runs))
