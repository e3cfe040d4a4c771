"""What integrated and expected gradients share: where on the way to the image the gradient is taken, and whether the map adds up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from dreamopt.parts.checks import Range

MOST_STEPS = 2000
"""The most nodes; those of Gauss and Legendre are the eigenvalues of a matrix of as many rows."""
STEPS = Range(1, MOST_STEPS)
COMPLETE = 0.05
"""How far the sum of a map may be from the score's difference, as a part of it: the 5 % of Sundararajan et al. 2017, section 5."""


def _gauss_legendre(steps: int) -> tuple[Any, Any]:
    points, weights = np.polynomial.legendre.leggauss(steps)
    return (1 + points) / 2, weights / 2


def _evenly(first: float) -> Callable[[int], tuple[Any, Any]]:
    return lambda steps: ((np.arange(steps) + first) / steps, np.full(steps, 1 / steps))


RULES = {"gauss_legendre": _gauss_legendre, "middle": _evenly(0.5), "left": _evenly(0.0), "right": _evenly(1.0)}
"""Rules of integration from 0 to 1 by name."""


def nodes(rule: str, steps: int) -> tuple[list[float], list[float]]:
    """Return the places from 0 (baseline) to 1 (image) at which a rule takes the gradient, and what each counts; the weights' sum is 1.

    Examples
    --------
    >>> nodes("right", 4)
    ([0.25, 0.5, 0.75, 1.0], [0.25, 0.25, 0.25, 0.25])
    """
    places, weights = RULES[rule](steps)
    return places.tolist(), weights.tolist()


def completeness(maps: Tensor, difference: Tensor, remedy: str) -> dict[str, Sequence[Any]]:
    r"""Return the facts of how well maps add up to the score's difference, one of each for each image.

    .. math:: \mathit{completeness\_error} = \frac{|\sum M - (s(x) - s(x_0))|}{|s(x) - s(x_0)|}

    It is None where both scores are equal and the map is not zero. Above `COMPLETE` the fact ``completeness`` says the remedy.

    Parameters
    ----------
    maps : Tensor
        (N, ...).
    difference : Tensor
        (N,): s(x) - s(x₀).
    remedy : str
        What to do about a large error, as "take more steps".
    """
    # On the CPU: not every accelerator has float64, and a sum of 150,000 numbers needs it.
    sums = maps.detach().cpu().double().flatten(1).sum(1).tolist()
    errors: list[float | None] = []
    for total, wanted in zip(sums, difference.detach().cpu().double().tolist(), strict=True):
        errors.append(abs(total - wanted) / abs(wanted) if wanted else (None if total else 0.0))
    verdicts = ["adds up" if error is not None and error <= COMPLETE else f"does not add up: {remedy}" for error in errors]
    return {"score_difference": difference.tolist(), "completeness_error": errors, "completeness": verdicts}
