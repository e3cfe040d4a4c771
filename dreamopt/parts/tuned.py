"""The range over which a number of a part is tuned where nobody says another one."""

from __future__ import annotations

from dataclasses import dataclass

from dreamopt.parts.checks import Fields


@dataclass(frozen=True)
class Tuned:
    """What a part says of one of its numbers: the range that a study tries.

    Wide enough that the best number of most nets lies inside, and not so wide that a few trials miss it: for step sizes about five
    doublings to either side of the usual one.

    Parameters
    ----------
    low, high : float
        The ends; on a logarithmic axis both above 0.
    log : bool
        Whether equal ratios are equal distances.
    whole : bool
        Whether only whole numbers are tried.

    Examples
    --------
    >>> Tuned(0.5, 32).holds(4)
    True
    """

    low: float
    high: float
    log: bool = True
    whole: bool = False

    def __post_init__(self) -> None:
        Fields(self).number("low").number("high").flag("log", "whole")

    def holds(self, value: float) -> bool:
        """Return whether a number lies inside."""
        return self.low <= value <= self.high
