"""How often one contestant is better than another, and ranks among all."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dreamopt.statistics.numbers import Array, mean


def win_share(first: ArrayLike, second: ArrayLike) -> float:
    """Return the share of paired runs in which the first is better; ties, two failures among them, count half.

    Parameters
    ----------
    first, second : array_like, (units, seeds)
        Runs of one unit and seed at one place; not a number where there is none, and such places are left out.

    Returns
    -------
    float
        From 0 to 1; not a number where no run has its pair.

    Examples
    --------
    >>> win_share([[3, 1], [2, -np.inf]], [[2, 1], [4, -np.inf]])
    0.5
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    both = ~(np.isnan(a) | np.isnan(b))
    if not both.any():
        return float("nan")
    return float(np.mean(0.5 * (a[both] > b[both]) + 0.5 * (a[both] >= b[both])))


def improvement(first: ArrayLike, second: ArrayLike) -> float:
    r"""Return the probability that a run of the first is better than one of the second on the same unit, whatever their seeds.

    .. math:: P(X > Y) = \frac{1}{U} \sum_u \frac{1}{N_u M_u} \sum_{i, j} \bigl[x_{ui} > y_{uj}\bigr] + \tfrac12 \bigl[x_{ui} = y_{uj}\bigr]

    It is the Mann-Whitney statistic of each unit as a share, averaged over units.

    Parameters
    ----------
    first, second : array_like, (units, seeds)
        Not a number where there is no run; units where either has none are left out.

    References
    ----------
    H. B. Mann, D. R. Whitney, On a Test of Whether One of Two Random Variables Is Stochastically Larger, 1947; averaged over tasks: Agarwal
    et al. 2021, section 4.3.

    Examples
    --------
    >>> improvement([[3, 1]], [[2, 0]]), improvement([[1, 1]], [[1, 1]])
    (0.75, 0.5)
    """
    a, b = np.asarray(first, np.float64)[:, :, None], np.asarray(second, np.float64)[:, None, :]
    counted = ~(np.isnan(a) | np.isnan(b))
    better = np.where(counted, 0.5 * (a > b) + 0.5 * (a >= b), 0).sum((1, 2))
    count = counted.sum((1, 2))
    return float(np.mean(better[count > 0] / count[count > 0])) if (count > 0).any() else float("nan")


def mean_ranks(values: ArrayLike) -> Array:
    """Return the mean rank of each contestant over units, 1 the best; equal ones share the mean of their ranks.

    Parameters
    ----------
    values : array_like, (contestants, units)
        Without any that is not a number.

    Examples
    --------
    >>> mean_ranks([[5, 5, 1], [3, 5, 2], [1, -np.inf, 3]]).tolist()
    [1.8333333333333333, 1.8333333333333333, 2.3333333333333335]
    """
    return mean(stats.rankdata(-np.asarray(values, np.float64), axis=0), 1)


def friedman(values: ArrayLike) -> float:
    """Return Friedman's probability that the contestants' ranks differ by chance alone, units being the blocks.

    Parameters
    ----------
    values : array_like, (contestants, units)
        At least three contestants and two units; else, the probability is not a number. Failures take the lowest rank.

    References
    ----------
    M. Friedman, The Use of Ranks to Avoid the Assumption of Normality, JASA 32, 1937; as in J. Demsar, Statistical Comparisons of
    Classifiers over Multiple Data Sets, JMLR 7, 2006.

    Examples
    --------
    >>> round(friedman([[9, 9, 9, 9], [5, 6, 5, 6], [1, 2, 3, 4]]), 4)
    0.0183
    """
    ranks = stats.rankdata(np.asarray(values, np.float64), axis=0)
    if ranks.ndim != 2 or len(ranks) < 3 or ranks.shape[1] < 2:
        return float("nan")
    if (ranks == ranks[:1]).all():
        return 1.0
    return float(stats.friedmanchisquare(*ranks).pvalue)
