"""How much a result depends on a tuned setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dreamopt.statistics.numbers import json_number, median, quantile

Value = float | int | str


@dataclass(frozen=True)
class Sensitivity:
    """The criterion against one tuned setting, over tuning units.

    Parameters
    ----------
    axis : str
        The setting.
    low, high : float
        The ends of its range; not a number where values were listed.
    log : bool
        Whether equal ratios are equal distances.
    values : tuple
        That were tried; numbers rising.
    lower, middle, upper : tuple of float
        Quartile, median and quartile of the criterion over units and seeds at each.
    runs, failures : tuple of int
        At each.
    chosen : number or str or None
        The value of the chosen trial.
    flat : float
        The part of the range whose median is within 5 % of the best one: 1 where the setting hardly matters.
    """

    axis: str
    low: float
    high: float
    log: bool
    values: tuple[Value, ...]
    lower: tuple[float, ...]
    middle: tuple[float, ...]
    upper: tuple[float, ...]
    runs: tuple[int, ...]
    failures: tuple[int, ...]
    chosen: Value | None
    flat: float

    @property
    def at_end(self) -> bool:
        """Whether the chosen value is an end of the range, or of three or more listed numbers: a better one may lie beyond."""
        numbers = [value for value in self.values if isinstance(value, int | float)]
        if not isinstance(self.chosen, int | float) or len(numbers) < len(self.values) or len(numbers) < 2:
            return False
        if math.isnan(self.low):
            return len(numbers) > 2 and self.chosen in (min(numbers), max(numbers))
        return any(math.isclose(self.chosen, end, rel_tol=1e-3) for end in (self.low, self.high))

    def describe(self) -> dict[str, Any]:
        """Return the numbers fit for JSON."""
        lines = {name: [json_number(value) for value in getattr(self, name)] for name in ("lower", "middle", "upper")}
        ends = {name: json_number(getattr(self, name)) for name in ("low", "high", "flat")}
        counts = {"values": list(self.values), "runs": list(self.runs), "failures": list(self.failures)}
        return {"axis": self.axis, "log": self.log, "chosen": self.chosen, "at_end": self.at_end, **ends, **lines, **counts}


def flat_part(values: Sequence[Value], scores: ArrayLike, low: float, high: float, log: bool = True, within: float = 0.05) -> float:
    r"""Return the part of a range in which the score is within 5 % of the best, :math:`s \ge s^* - 0.05\,|s^*|`.

    Each tried value stands for what lies nearer to it than to any other; on a logarithmic range, nearer by ratio.

    Parameters
    ----------
    values : sequence of numbers or str
        That were tried; of names, and of one value, the share of them is returned.
    scores : array_like
        Of each.
    low, high : float
        The ends of the range; not a number: those of the values.
    log : bool
        Whether equal ratios are equal distances.
    within : float
        The part of the best score.

    Examples
    --------
    >>> flat_part([1, 2, 4, 8, 16], [0.2, 0.96, 1.0, 0.99, 0.5], 1, 16)
    0.75
    """
    heights = np.asarray(scores, np.float64)
    best = heights.max(initial=-np.inf)
    if not np.isfinite(best):
        return float("nan")
    good = heights >= best - within * abs(best)
    if len(values) < 2 or not all(isinstance(value, int | float) for value in values):
        return float(good.mean())
    log = log and all(float(value) > 0 for value in values)
    places = np.array([math.log(float(value)) if log else float(value) for value in values])
    order = np.argsort(places)
    ends = [places.min(), places.max()] if math.isnan(low) else [math.log(end) if log else end for end in (low, high)]
    edges = np.concatenate([[min(ends[0], places.min())], (places[order][1:] + places[order][:-1]) / 2, [max(ends[1], places.max())]])
    widths = np.diff(edges)
    return float(widths[good[order]].sum() / widths.sum()) if widths.sum() > 0 else float(good.mean())


def sensitivity(
    axis: str,
    tried: Sequence[tuple[Value, float]],
    low: float = math.nan,
    high: float = math.nan,
    log: bool = True,
    chosen: Value | None = None,
) -> Sensitivity:
    """Return the criterion against one tuned setting.

    Where several settings were tuned at once, the others' values vary within each point, and its band shows that.

    Parameters
    ----------
    axis : str
        The setting.
    tried : sequence of (value, score)
        Of each tuning run: what it was tried with, and its normalized criterion; minus infinity where it failed.
    low, high, log
        As of the `Axis`.
    chosen : number or str or None
        The value of the chosen trial.

    Examples
    --------
    >>> made = sensitivity("step_size", [(1, 0.2), (1, 0.4), (2, 0.8), (2, -math.inf)], 1, 2)
    >>> made.values, made.middle, made.failures
    ((1, 2), (0.30000000000000004, -inf), (0, 1))
    """
    values = list(dict.fromkeys(value for value, _ in tried))
    if all(isinstance(value, int | float) for value in values):
        values.sort(key=float)
    groups = [np.array([score for value, score in tried if value == one]) for one in values]
    middle = tuple(float(median(group)) for group in groups)
    return Sensitivity(
        axis,
        low,
        high,
        log,
        tuple(values),
        tuple(float(quantile(group, 0.25)) for group in groups),
        middle,
        tuple(float(quantile(group, 0.75)) for group in groups),
        tuple(len(group) for group in groups),
        tuple(int(np.isneginf(group).sum()) for group in groups),
        chosen,
        flat_part(values, middle, low, high, log) if values else math.nan,
    )
