"""What the numbers of several images say: means, intervals, ranks, and who is better than whom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.statistics import NO_ESTIMATE, Draws, Estimate, estimate, holm, json_number, mean, mean_ranks, signed_rank

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Standing:
    """One contestant by one metric.

    Parameters
    ----------
    value : Estimate
        The mean over images, and its interval by the bootstrap over images; of one image the interval is not a number.
    rank : float
        Mean rank over images, 1 the best, among methods and controls; not a number where there is none.
    images : int
        Over how many images.
    """

    value: Estimate
    rank: float
    images: int

    def describe(self) -> dict[str, Any]:
        """Return the numbers, fit for JSON."""
        return {"mean": self.value.describe(), "rank": json_number(self.rank), "images": self.images}


@dataclass(frozen=True)
class Difference:
    """How much better one contestant is than another on the same images.

    Parameters
    ----------
    value : Estimate
        The mean of the differences, turned so that more is better, with its interval.
    p : float
        Two-sided, of the signed-rank test, corrected by Holm for the number of rivals; 1 of one image.
    """

    value: Estimate
    p: float

    @property
    def is_better(self) -> bool:
        """Whether the interval lies above 0."""
        return self.value.low > 0

    @property
    def is_sure(self) -> bool:
        """Whether the interval lies above 0 and the test agrees."""
        return self.is_better and self.p < 1 - CONFIDENCE

    def describe(self) -> dict[str, Any]:
        """Return the numbers, fit for JSON."""
        return {"mean": self.value.describe(), "p": json_number(self.p)}


def _draws(images: int, seed: int) -> Draws:
    return Draws(np.zeros(images, np.int64), seeds=1, resamples=RESAMPLES, seed=seed)


def _estimate(values: NDArray[np.float64], seed: int) -> Estimate:
    """Return the mean of one number for each image, with its interval."""
    if not len(values):
        return NO_ESTIMATE
    if len(values) == 1:
        return Estimate(float(values[0]), math.nan, math.nan)
    return estimate(values[:, None], mean, _draws(len(values), seed), CONFIDENCE)


def standings(values: NDArray[np.float64], better: str, seed: int) -> list[Standing]:
    """Return where contestants stand by one metric.

    Parameters
    ----------
    values : ndarray, (contestants, images)
        Not a number where there is none.
    better : {"higher", "lower"}
        The metric's direction.
    seed : int
        Of the bootstrap.
    """
    sign = 1 if better == "higher" else -1
    there = ~np.isnan(values)
    some = there.any(1)
    complete = there[some].all(0) if some.any() else np.zeros(values.shape[1], np.bool_)
    ranks = np.full(len(values), np.nan)
    if complete.any():
        ranks[some] = mean_ranks(sign * values[some][:, complete])
    return [
        Standing(_estimate(row[known], seed), float(rank), int(known.sum())) for row, known, rank in zip(values, there, ranks, strict=True)
    ]


def differences(one: NDArray[np.float64], others: Sequence[NDArray[np.float64]], better: str, seed: int) -> list[Difference]:
    """Return how much better one contestant is than each of others.

    Parameters
    ----------
    one : ndarray, (images,)
        Not a number where there is none.
    others : sequence of ndarray, (images,)
        On the same images.
    better : {"higher", "lower"}
        The metric's direction.
    seed : int
        Of the bootstrap.

    Examples
    --------
    >>> [found] = differences(np.arange(8.0) + 3, [np.arange(8.0)], "higher", 0)
    >>> found.value, found.is_sure
    (Estimate(value=3.0, low=3.0, high=3.0), True)
    """
    sign = 1 if better == "higher" else -1
    found = []
    for other in others:
        values = sign * (one - other)
        found.append(values[~np.isnan(values)])
    p = holm([signed_rank(values).p for values in found]) if found else ()
    return [Difference(_estimate(values, seed), chance) for values, chance in zip(found, p, strict=True)]
