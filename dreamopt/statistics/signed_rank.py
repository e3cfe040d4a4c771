"""Wilcoxon's signed-rank test of paired differences, exact, and corrections for several tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dreamopt.statistics.numbers import Array, difference

EXACT_PAIRS = 300
"""The most pairs whose exact distribution is computed; beyond, the normal one is as good."""


@dataclass(frozen=True)
class SignedRank:
    """What the test gives.

    Parameters
    ----------
    p : float
        Two-sided.
    less, greater : float
        One-sided: that differences lie below 0, above 0.
    pairs : int
        That differ.
    """

    p: float
    less: float
    greater: float
    pairs: int


def signed_rank(differences: ArrayLike) -> SignedRank:
    r"""Return Wilcoxon's signed-rank test of paired differences being symmetric about 0.

    .. math:: W^+ = \sum_{d_i > 0} R_i, \qquad R_i = \mathrm{rank}\,|d_i|

    Under the null hypothesis each rank is in the sum with probability 1/2; the probabilities are counted over all :math:`2^n` choices
    of signs. Equal sizes have the mean of their ranks. Differences of 0 are ranked, then left out (Pratt), so that ties do not make a
    result look surer. An infinite difference (one of two failed) has the highest rank.

    Parameters
    ----------
    differences : array_like, (n,)
        One for each unit. Beyond 300 that are not 0, the normal approximation with ties is taken.

    Returns
    -------
    SignedRank
        With p = 1 where nothing differs.

    References
    ----------
    F. Wilcoxon, Individual Comparisons by Ranking Methods, Biometrics Bulletin 1(6), 1945. J. W. Pratt, Remarks on Zeros and Ties in the
    Wilcoxon Signed Rank Procedures, JASA 54, 1959.

    Examples
    --------
    >>> test = signed_rank([1, 2, 3, 4, 5, math.inf])
    >>> test.p, test.greater
    (0.03125, 0.015625)
    """
    values = np.asarray(differences, np.float64).ravel()
    ranks = stats.rankdata(np.abs(values))
    differ = values != 0
    count = int(differ.sum())
    if count == 0:
        return SignedRank(1.0, 1.0, 1.0, 0)
    if count > EXACT_PAIRS:
        signed = np.where(differ, np.sign(values) * ranks, 0)
        less, greater = (
            float(stats.wilcoxon(signed, zero_method="pratt", alternative=side, method="approx").pvalue) for side in ("less", "greater")
        )
    else:
        doubled = np.rint(2 * ranks[differ]).astype(np.int64)
        total = int(doubled[values[differ] > 0].sum())
        below, above = _tails(tuple(sorted(doubled.tolist())))
        less, greater = float(below[total]), float(above[total])
    return SignedRank(min(1.0, 2 * min(less, greater)), less, greater, count)


@lru_cache(maxsize=256)
def _tails(doubled: tuple[int, ...]) -> tuple[Array, Array]:
    """Return P(sum <= t) and P(sum >= t) for each t, the sum being of numbers that are each taken with probability 1/2."""
    chances = np.zeros(sum(doubled) + 1)
    chances[0] = 1.0
    top = 0
    for number in doubled:
        shifted = chances[: top + 1] / 2
        chances[: top + 1] = shifted
        chances[number : number + top + 1] += shifted
        top += number
    return np.minimum(np.cumsum(chances), 1.0), np.minimum(np.cumsum(chances[::-1])[::-1], 1.0)


def is_behind(scores: ArrayLike, others: ArrayLike, p: float = 0.1) -> bool:
    """Return whether paired scores lie below the others' beyond chance: one-sided signed-rank, its probability below ``p``.

    With n pairs the smallest probability is 2^-n, so that four are the fewest that can be below .1.

    Parameters
    ----------
    scores, others : array_like, (n,)
        Of the same units in the same order; failures are minus infinity, and two failures on one unit differ by 0.
    p : float
        Between 0 and 1; for repeated looks and several rivals see `bonferroni`.

    References
    ----------
    Optuna's WilcoxonPruner does the same; repeated looks inflate the error: S. J. Pocock, Group Sequential Methods, Biometrika 64, 1977.

    Examples
    --------
    >>> is_behind([1, 1, 2, 0], [2, 3, 5, 4]), is_behind([1, 1, 2], [2, 3, 5])
    (True, False)
    """
    return bool(signed_rank(difference(scores, others)).less < p)


def bonferroni(p: float, looks: int, rivals: int = 1) -> float:
    """Return the level of each of several tests of which none should be wrong with more than probability ``p``.

    >>> bonferroni(0.05, looks=4, rivals=5)
    0.0025
    """
    return p / (max(looks, 1) * max(rivals, 1))


def holm(p: Sequence[float]) -> tuple[float, ...]:
    r"""Return the probabilities corrected for there being several tests.

    .. math:: \tilde p_{(i)} = \max_{j \le i} \min\bigl(1, (m - j + 1)\, p_{(j)}\bigr)

    Where all whose corrected probability lies below .05 are believed, one or more of them is wrong with at most that probability, however
    the tests depend on each other.

    References
    ----------
    S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(np.minimum(1.0, factors * values[order]))
    return tuple(corrected.tolist())


def units_needed(rivals: int, p: float = 0.05) -> int:
    """Return the fewest units on which a contestant that wins on each can be better than so many rivals, by `signed_rank` and `holm`.

    >>> units_needed(1), units_needed(5)
    (6, 8)
    """
    return math.floor(math.log2(2 * max(rivals, 1) / p)) + 1
