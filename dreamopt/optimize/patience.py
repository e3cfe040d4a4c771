"""Patience: when a sample that gets no better is stopped."""

from __future__ import annotations

from dataclasses import dataclass

from dreamopt.parts.checks import COUNT, NOT_NEGATIVE, Fields
from dreamopt.parts.part import call_string


@dataclass(frozen=True)
class Patience:
    r"""Stop a sample that has not got better for a while; each sample by itself, the others go on.

    A value v is better than b, the last that was better, if

    .. math:: v > b + \max(\text{improvement}, \text{relative} \cdot |b|)

    Parameters
    ----------
    steps : int
        How many steps without a better value are allowed, at least 1. With transforms, values vary from draw to draw: allow
        more.
    improvement : float
        At least 0, in units of the objective.
    relative : float
        At least 0, as a part of the value.

    Examples
    --------
    >>> print(Patience(50, relative=0.01))
    Patience(steps=50, relative=0.01)
    """

    steps: int = 64
    improvement: float = 0.0
    relative: float = 0.0

    def __post_init__(self) -> None:
        Fields(self).whole("steps", COUNT).number("improvement", NOT_NEGATIVE).number("relative", NOT_NEGATIVE)

    def __str__(self) -> str:
        return call_string(self)
