"""How much is spent until a target is reached: targets by run length, expected runtimes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dreamopt.statistics.numbers import Array, json_number, median

Points = tuple[ArrayLike, ArrayLike]
"""A run's trace: what it had spent at some points, rising, and its values there."""


def running_best(values: ArrayLike) -> Array:
    """Return the best value so far at each point; one that is not a number counts as minus infinity.

    >>> running_best([1, 3, math.nan, 2]).tolist()
    [1.0, 3.0, 3.0, 3.0]
    """
    values = np.asarray(values, np.float64)
    return np.maximum.accumulate(np.where(np.isnan(values), -np.inf, values))


def first_reached(points: Points, targets: ArrayLike) -> Array:
    """Return what a run had spent when its value was first at least the target; infinity where it never was.

    A trace has points, and nothing is assumed between them: a target that was reached between two counts at the later one.

    Parameters
    ----------
    points : (array_like, array_like), (P,) each
        Spent, and values.
    targets : array_like, (T,)

    Examples
    --------
    >>> first_reached(([0, 8, 16], [1, 5, 4]), [0.5, 2, 5, 6]).tolist()
    [0.0, 8.0, 8.0, inf]
    """
    spent, values = points
    best = running_best(values)
    places = np.searchsorted(best, np.asarray(targets, np.float64), side="left")
    return np.append(np.asarray(spent, np.float64), np.inf)[places]


def run_lengths(budget: float, first: int = 8, last: int = 512) -> tuple[int, ...]:
    """Return 8, 16, 32 ... evaluations, as far as the budget goes.

    >>> run_lengths(100)
    (8, 16, 32, 64)
    """
    return tuple(2**k for k in range(int(math.log2(first)), int(math.log2(last)) + 1) if 2**k <= budget)


def targets_of(traces: Sequence[Points], lengths: Sequence[int]) -> Array:
    """Return a unit's targets by run length: the median over the reference's runs of the best that each had reached by then.

    A unit's scale is arbitrary, and so would be any target in numbers; what the reference reaches in so many evaluations is not.

    Parameters
    ----------
    traces : sequence of (array_like, array_like)
        Evaluations and values of each of the reference's runs on the unit. One that has no points reached nothing.
    lengths : sequence of int
        Evaluations.

    Returns
    -------
    ndarray, (len(lengths),)

    References
    ----------
    Run-length-based targets: N. Hansen et al., COCO: Performance Assessment, arXiv 1605.03560.

    Examples
    --------
    >>> targets_of([([0, 8, 16], [0, 2, 5]), ([0, 8, 16], [0, 4, 3])], [8, 16]).tolist()
    [3.0, 4.5]
    """
    best = np.full((max(len(traces), 1), len(lengths)), -np.inf)
    for k, (spent, values) in enumerate(traces):
        places = np.searchsorted(np.asarray(spent, np.float64), np.asarray(lengths, np.float64), side="right")
        best[k] = np.concatenate([[-np.inf], running_best(values)])[places]
    return median(best, 0)


@dataclass(frozen=True)
class Ert:
    """The expected runtime to a target.

    Parameters
    ----------
    target : int
        The reference's run length that set the target.
    value : float
        Evaluations; infinity where no run reached it.
    successes, runs : int
        That reached it, of how many.
    """

    target: int
    value: float
    successes: int
    runs: int

    def describe(self) -> dict[str, float | str | None]:
        """Return the runtime fit for JSON."""
        return {"target": self.target, "value": json_number(self.value), "successes": self.successes, "runs": self.runs}


def expected_runtime(reached: ArrayLike, spent: ArrayLike, target: int = 0) -> Ert:
    r"""Return the expected runtime (ERT, also aRT) to a target, by runs that were started anew until one reached it.

    .. math:: \mathrm{ERT} = \frac{\sum_i \min(t_i, s_i)}{\#\{i : t_i < \infty\}}

    Evaluations that runs which did not reach the target have spent count in full.

    Parameters
    ----------
    reached : array_like, (runs,)
        Spent when the target was first reached; infinity where it was not.
    spent : array_like, (runs,)
        Spent by the whole run.
    target : int
        For the result.

    References
    ----------
    N. Hansen et al., COCO: Performance Assessment, arXiv 1605.03560, section 5.

    Examples
    --------
    >>> expected_runtime([10, math.inf, 30], [50, 50, 50]).value
    45.0
    """
    times = np.asarray(reached, np.float64)
    successes = int(np.isfinite(times).sum())
    total = float(np.minimum(times, np.asarray(spent, np.float64)).sum()) if times.size else 0.0
    return Ert(target, total / successes if successes else math.inf, successes, times.size)
