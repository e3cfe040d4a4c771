"""Performance profiles and data profiles: shares of problems solved."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dreamopt.statistics.curves import Curve, ecdf
from dreamopt.statistics.numbers import Array


def performance_ratios(times: ArrayLike) -> Array:
    r"""Return how many times as long each contestant takes as the fastest on each problem.

    .. math:: r_{s,w} = \frac{t_{s,w}}{\min_{s'} t_{s',w}}

    Parameters
    ----------
    times : array_like, (contestants, problems)
        Evaluations or seconds to the target; infinity where it was not reached.

    Returns
    -------
    ndarray, (contestants, problems)
        At least 1; infinity where the target was not reached, also if nobody reached it. A time of 0 counts as the smallest one above 0 of
        the problem.

    Examples
    --------
    >>> performance_ratios([[10, 20, np.inf], [20, 10, np.inf]]).tolist()
    [[1.0, 2.0, inf], [2.0, 1.0, inf]]
    """
    values = np.asarray(times, np.float64)
    smallest = np.min(np.where(values > 0, values, np.inf), 0, initial=np.inf)
    values = np.maximum(values, np.where(np.isfinite(smallest), smallest, 0))
    values = np.where((values == 0), 1.0, values)
    best = values.min(0)
    return np.asarray(np.divide(values, best, out=np.full(values.shape, np.inf), where=np.isfinite(values)))


def performance_profile(ratios: ArrayLike) -> Curve:
    r"""Return the share of problems that a contestant solves within a factor of the fastest.

    .. math:: \rho_s(\tau) = \frac{1}{|W|} \, \bigl|\{w : r_{s,w} \le \tau\}\bigr|

    At 1 stands the share on which it is the fastest, at the right end the share that it solves at all. Whom it is compared with changes
    the curve: of more than two contestants, two may change places when a third is taken out, so that each pair has profiles of its own.

    Parameters
    ----------
    ratios : array_like, (problems,)
        A contestant's row of `performance_ratios`.

    References
    ----------
    E. D. Dolan, J. J. More, Benchmarking Optimization Software with Performance Profiles, Mathematical Programming 91, 2002. N. Gould,
    J. Scott, A Note on Performance Profiles for Benchmarking Software, ACM TOMS 43(2), 2016.

    Examples
    --------
    >>> performance_profile([1, 2, 1, np.inf])
    Curve(x=(1.0, 2.0), y=(0.5, 0.75))
    """
    return ecdf(ratios)


def integrated_score(ratios: ArrayLike, largest: float = 4.0) -> float:
    r"""Return the area below a performance profile as a share: AlgoPerf's benchmark score.

    .. math:: B_s = \frac{1}{\tau_{\max} - 1} \int_1^{\tau_{\max}} \rho_s(\tau) \, d\tau, \qquad \tau_{\max} = 4

    1: the fastest on every problem. 0: never within four times the fastest.

    Parameters
    ----------
    ratios : array_like, (problems,)
        A contestant's row of `performance_ratios`.
    largest : float
        The upper end, above 1.

    References
    ----------
    G. E. Dahl et al., Benchmarking Neural Network Training Algorithms, arXiv 2306.07179, section 4.3.

    Examples
    --------
    >>> integrated_score([1, 2.5, 1, np.inf])
    0.625
    """
    values = np.asarray(ratios, np.float64)
    values = values[~np.isnan(values)]
    return float(np.mean(np.clip((largest - values) / (largest - 1), 0, 1))) if values.size else float("nan")


def data_profile(times: ArrayLike) -> Curve:
    r"""Return the share of problems that a contestant solves within a budget of evaluations.

    .. math:: d_s(\alpha) = \frac{1}{|W|} \, \bigl|\{w : t_{s,w} \le \alpha\}\bigr|

    Solved is a problem when :math:`f \ge f^* - \tau (f^* - f_0)`: a share of :math:`1 - \tau` of the way from the start to the best that
    anybody reached is made. Budgets are counted in evaluations, each of which gives a whole gradient, not in simplex gradients.

    Parameters
    ----------
    times : array_like, (problems,)
        Evaluations until solved; infinity where it was not.

    References
    ----------
    J. J. More, S. M. Wild, Benchmarking Derivative-Free Optimization Algorithms, SIAM Journal on Optimization 20(1), 2009.

    Examples
    --------
    >>> data_profile([10, 30, np.inf, np.inf]).at(20)
    0.25
    """
    return ecdf(times)
