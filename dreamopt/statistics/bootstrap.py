"""Intervals by resampling: seeds within units, or units and then seeds within them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from dreamopt.statistics.numbers import NO_ESTIMATE, Array, Estimate, mean, quantile

Statistic = Callable[[Array], Array]


class Draws:
    """The random choices of all bootstraps of one study, made once, so that contestants are resampled alike.

    A choice is a number from 0 to below 1, and means a place among those there are: a unit of the same stratum, and a run of the unit.

    Parameters
    ----------
    strata : array_like, (units,)
        The net of each unit: units are exchanged within a net alone.
    seeds : int
        The most runs of a unit.
    resamples : int
        How often everything is drawn.
    seed : int
        Of the random numbers.

    References
    ----------
    B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals). Stratified: Agarwal et al. 2021,
    section 4.1. Two levels: A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, section 3.8.

    Examples
    --------
    >>> draws = Draws([0, 0, 0, 0], seeds=2, resamples=500, seed=0)
    >>> values = np.array([[1.0, 2], [2, 3], [3, 4], [4, 5]])
    >>> means = draws.two_levels(values)
    >>> means.shape, interval_of(means.mean(1), 0.95)
    ((500, 4), (1.875, 4.0))
    """

    def __init__(self, strata: ArrayLike, seeds: int, resamples: int, seed: int) -> None:
        self.strata = np.asarray(strata)
        self.seeds = seeds
        self.resamples = resamples
        self.seed = seed

    @cached_property
    def _unit_choices(self) -> Array:
        return np.random.default_rng((self.seed, 1)).random((self.resamples, len(self.strata)))

    @cached_property
    def _run_choices(self) -> Array:
        return np.random.default_rng((self.seed, 2)).random((self.resamples, len(self.strata), self.seeds))

    def two_levels(self, values: Array) -> Array:
        """Return means over seeds of resampled units: units are drawn, then runs within each.

        Parameters
        ----------
        values : ndarray, (units, seeds)
            Not a number where there is no run; units without any are not drawn.

        Returns
        -------
        ndarray, (resamples, units that have runs)
            Means over the runs drawn of each unit.
        """
        packed, counts, rows = _packed(values)
        units = self._drawn_units(rows)
        return self._means(packed, counts, units, self._run_choices[:, rows])

    def units(self, values: Array) -> Array:
        """Return resampled units' values, (resamples, units), of one value each."""
        rows = np.flatnonzero(~np.isnan(values))
        return np.asarray(values[rows][self._drawn_units(rows)])

    def seeds_within_units(self, values: Array) -> Array:
        """Return resampled runs, (resamples, runs): of each unit as many as it has, drawn among its own."""
        packed, counts, rows = _packed(values)
        places = (self._run_choices[:, rows, : packed.shape[1]] * counts[:, None]).astype(np.intp)
        drawn = packed[np.arange(len(rows))[None, :, None], places]
        kept = np.arange(packed.shape[1]) < counts[:, None]
        return np.asarray(drawn[:, kept])

    def _drawn_units(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return places among the rows, (resamples, rows): of each row another of its stratum."""
        choices = self._unit_choices[:, rows]
        drawn = np.empty(choices.shape, np.intp)
        strata = self.strata[rows]
        for stratum in np.unique(strata):
            members = np.flatnonzero(strata == stratum)
            drawn[:, members] = members[(choices[:, members] * len(members)).astype(np.intp)]
        return drawn

    @staticmethod
    def _means(packed: Array, counts: NDArray[np.intp], units: NDArray[np.intp], choices: Array) -> Array:
        choices = choices[..., : packed.shape[1]]
        counts_drawn = counts[units]
        drawn = packed[units[..., None], (choices * counts_drawn[..., None]).astype(np.intp)]
        if (counts == packed.shape[1]).all():
            return mean(drawn)
        counted = np.arange(packed.shape[1]) < counts_drawn[..., None]
        return np.asarray(np.where(counted, drawn, 0).sum(-1) / counts_drawn)


def _packed(values: Array) -> tuple[Array, NDArray[np.intp], NDArray[np.intp]]:
    """Return each unit's runs first in its row, how many there are, and the rows that have any."""
    there = ~np.isnan(values)
    rows = np.flatnonzero(there.any(1))
    counts = there[rows].sum(1)
    order = np.argsort(~there[rows], axis=1, kind="stable")[:, : max(counts.max(initial=0), 1)]
    return np.take_along_axis(values[rows], order, 1), counts, rows


def interval_of(resampled: Array, confidence: float, units: int | None = None) -> tuple[float, float]:
    r"""Return the percentile interval of resampled statistics.

    Few units that are drawn from themselves differ less than units do, and plain percentiles are too narrow. Where their number n is given,
    each tail is therefore not :math:`\alpha/2` but

    .. math:: \Phi\bigl(-\sqrt{n / (n - 1)} \; t_{1 - \alpha/2,\, n - 1}\bigr),

    which makes the interval of a mean as wide as Student's.

    Parameters
    ----------
    resampled : ndarray, (resamples,)
        Without any that is not a number.
    confidence : float
        Between 0 and 1.
    units : int, optional
        How many were drawn; one alone has the widest interval of what was drawn.

    References
    ----------
    T. C. Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015, section 5.2 (expanded percentiles).

    Examples
    --------
    >>> drawn = np.arange(1001.0)
    >>> [[round(end) for end in interval_of(drawn, 0.9, units)] for units in (None, 6)]
    [[50, 950], [14, 986]]
    """
    tail = (1 - confidence) / 2
    if units is not None:
        tail = float(stats.norm.cdf(stats.t.ppf(tail, units - 1) * np.sqrt(units / (units - 1)))) if units > 1 else 0.0
    return float(quantile(resampled, tail)), float(quantile(resampled, 1 - tail))


def estimate(values: Array, statistic: Statistic, draws: Draws, confidence: float) -> Estimate:
    """Return a statistic of all runs, and its interval by the stratified bootstrap: runs drawn within each unit.

    It says how sure the number is for these units, with other seeds. Where no unit has two runs, units are drawn instead.

    Parameters
    ----------
    values : ndarray, (units, seeds)
        Not a number where there is no run.
    statistic : callable
        Of values along the last axis, as `iqm`.
    draws : Draws
        For these units.
    confidence : float
        Between 0 and 1.
    """
    runs = values[~np.isnan(values)]
    if not runs.size:
        return NO_ESTIMATE
    counts = (~np.isnan(values)).sum(1)
    if (counts > 1).any():
        interval = interval_of(statistic(draws.seeds_within_units(values)), confidence)
    else:
        interval = interval_of(statistic(draws.two_levels(values)), confidence, int((counts > 0).sum()))
    return Estimate(float(statistic(runs)), *interval)
