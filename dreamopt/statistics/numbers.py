"""Means, medians and quantiles of numbers, some of which may be infinite."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number, and the interval that it is known to.

    Parameters
    ----------
    value : float
        Of the sample; not a number where there is no sample.
    low, high : float
        The ends of its interval.
    """

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside the interval; not, where an end is not a number."""
        return self.low > 0 or self.high < 0

    def __neg__(self) -> Estimate:
        return Estimate(-self.value, -self.high, -self.low)

    def describe(self) -> dict[str, float | str | None]:
        """Return the estimate fit for JSON."""
        return {"value": json_number(self.value), "low": json_number(self.low), "high": json_number(self.high)}


NO_ESTIMATE = Estimate(math.nan, math.nan, math.nan)


def json_number(value: float) -> float | str | None:
    """Return a number fit for JSON, which has no infinity: as text; and none that is not a number: None.

    >>> json_number(0.5), json_number(-math.inf), json_number(math.nan)
    (0.5, '-inf', None)
    """
    if math.isnan(value):
        return None
    return str(float(value)) if math.isinf(value) else value


def mean(values: ArrayLike, axis: int = -1) -> Array:
    """Return the mean, in which infinities of both signs cancel each other, one by one.

    One that is left over makes the mean infinite; where none is, it is the sum of the finite values divided by the number of all.

    Parameters
    ----------
    values : array_like
        Without any that is not a number.
    axis : int
        Along which the mean is taken.

    Returns
    -------
    ndarray
        One dimension less.

    Examples
    --------
    >>> float(mean([1, 2, 6])), float(mean([1, 2, -math.inf])), float(mean([math.inf, 3, -math.inf]))
    (3.0, -inf, 1.0)
    """
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    if finite.all():
        return np.asarray(values.mean(axis))
    balance = np.sum(values == np.inf, axis) - np.sum(values == -np.inf, axis)
    return np.asarray(np.where(balance == 0, np.where(finite, values, 0).mean(axis), np.copysign(np.inf, balance)))


def iqm(values: ArrayLike, axis: int = -1) -> Array:
    r"""Return the interquartile mean: the mean of the middle half.

    .. math:: \mathrm{IQM} = \frac{1}{n - 2g} \sum_{i=g+1}^{n-g} x_{(i)}, \qquad g = \lfloor n / 4 \rfloor

    It needs fewer runs than the median for the same certainty, and up to a quarter of failures at either end do not move it. It is
    ``scipy.stats.trim_mean(values, 0.25)``, but that infinities may be in the middle half.

    Parameters
    ----------
    values : array_like
        Without any that is not a number; failures are minus infinity.
    axis : int
        Along which the mean is taken.

    Returns
    -------
    ndarray
        One dimension less.

    References
    ----------
    R. Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021, section 4.3.

    Examples
    --------
    >>> float(iqm([0, 2, 3, 4, 5, 6, 7, 100])), float(iqm([-math.inf, 1, 2, 3]))
    (4.5, 1.5)
    """
    values = np.moveaxis(np.asarray(values, np.float64), axis, -1)
    count = values.shape[-1]
    cut = count // 4
    return mean(np.partition(values, (cut, count - cut - 1))[..., cut : count - cut])


def median(values: ArrayLike, axis: int = -1) -> Array:
    """Return the median; of an even number the `mean` of the two in the middle, so that minus and plus infinity give 0.

    Examples
    --------
    >>> float(median([3, 1, 2])), float(median([-math.inf, 1, 2, math.inf])), float(median([-math.inf, -math.inf, 1]))
    (2.0, 1.5, -inf)
    """
    values = np.moveaxis(np.asarray(values, np.float64), axis, -1)
    low, high = (values.shape[-1] - 1) // 2, values.shape[-1] // 2
    return mean(np.partition(values, (low, high))[..., low : high + 1])


def quantile(values: ArrayLike, q: float, axis: int = -1) -> Array:
    """Return the quantile, between two values as numpy's default; an infinite neighbour is the quantile itself.

    Examples
    --------
    >>> float(quantile([1, 2, 3, 4], 0.25)), float(quantile([-math.inf, 2, 3, 4], 0.25))
    (1.75, -inf)
    """
    values = np.moveaxis(np.asarray(values, np.float64), axis, -1)
    place = q * (values.shape[-1] - 1)
    low, high = math.floor(place), math.ceil(place)
    ordered = np.partition(values, (low, high))
    below, above = ordered[..., low], ordered[..., high]
    both = np.isfinite(below) & np.isfinite(above)
    step = np.subtract(above, below, out=np.zeros_like(below), where=both)
    nearest = np.where(np.isinf(below) & (np.isneginf(below) | np.isposinf(above)), below, above)
    return np.where(both, below + (place - low) * step, nearest)


def difference(first: ArrayLike, second: ArrayLike) -> Array:
    """Return first - second, where two that failed alike differ by 0.

    Examples
    --------
    >>> difference([3, -math.inf, -math.inf], [1, 5, -math.inf]).tolist()
    [2.0, -inf, 0.0]
    """
    a, b = np.broadcast_arrays(np.asarray(first, np.float64), np.asarray(second, np.float64))
    return np.asarray(np.subtract(a, b, out=np.zeros(a.shape), where=~(np.isinf(a) & (a == b))))
