"""Numbers that change while the climb goes on, and the moment at which they are asked for.

Every number of an optimizer or a regularizer may be a plain number or a schedule; `at` turns either into the number of
this step. A schedule only looks at the `Moment`, so it is the same for every item of a batch and after a resume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dreamopt.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Moment:
    """Where in a climb a step stands.

    Parameters
    ----------
    step : int
        Number of the step, from 0.
    steps : int
        How many steps the climb (or the octave) has, at least 1.
    gradient : Tensor, optional
        (N, C, H, W), the ascent gradient at the image before this step, for projections that look at it.
    """

    step: int = 0
    steps: int = 1
    gradient: Tensor | None = None

    def progress(self, inclusive: bool = False) -> float:
        """Return ``step / steps``, or ``step / (steps - 1)`` so that the last step gives 1."""
        span = self.steps - 1 if inclusive else self.steps
        return self.step / span if span > 0 else 0.0


class Schedule:
    """Contract: a number for each moment; subclasses are frozen dataclasses, so that their repr makes them again."""

    def __call__(self, moment: Moment) -> float:
        """Return the number at ``moment``."""
        raise AssertionError(f"{type(self).__name__} does not say its number")


@dataclass(frozen=True)
class Constant(Schedule):
    """The same ``value`` at every step.

    >>> Constant(1.5)(Moment(step=7, steps=10))
    1.5
    """

    value: float

    def __call__(self, moment: Moment) -> float:
        """Return the value."""
        return self.value


@dataclass(frozen=True)
class Linear(Schedule):
    r"""A straight line from ``start`` towards ``end``.

    .. math:: v_i = s + (e - s)\, i / n

    so that the end would be reached at step n, one past the last (Øygard's tables are meant so); with ``inclusive`` the
    divisor is n - 1 and the last step has the end's value.

    >>> [Linear(2.5, 0.5)(Moment(i, 4)) for i in range(4)]
    [2.5, 2.0, 1.5, 1.0]
    >>> Linear(2.5, 0.5, inclusive=True)(Moment(3, 4))
    0.5
    """

    start: float
    end: float
    inclusive: bool = False

    def __call__(self, moment: Moment) -> float:
        """Return the line's value."""
        return self.start + (self.end - self.start) * moment.progress(self.inclusive)


@dataclass(frozen=True)
class Geometric(Schedule):
    r"""Equal ratios from ``start`` towards ``end``, both above 0.

    .. math:: v_i = s\, (e / s)^{i / n}

    (n - 1 for n with ``inclusive``, as in `Linear`).

    >>> [Geometric(8.0, 0.5)(Moment(i, 4)) for i in range(4)]
    [8.0, 4.0, 2.0, 1.0]
    """

    start: float
    end: float
    inclusive: bool = False

    def __post_init__(self) -> None:
        if not (self.start > 0 and self.end > 0):
            raise UsageError(f"a geometric schedule needs both ends above 0, not {self.start} and {self.end}")

    def __call__(self, moment: Moment) -> float:
        """Return the value."""
        return float(self.start * (self.end / self.start) ** moment.progress(self.inclusive))


Number = float | Schedule
"""What a parameter that may be scheduled takes."""


def at(number: Number, moment: Moment) -> float:
    """Return a plain number as it is, and a schedule's number at ``moment``.

    >>> at(0.5, Moment(3, 4)), at(Linear(1, 0), Moment(3, 4))
    (0.5, 0.25)
    """
    return number(moment) if isinstance(number, Schedule) else float(number)


def smallest(number: Number) -> float:
    """Return the least value a number can take, for range checks: a schedule's lower end, or NaN where it is unknown."""
    if isinstance(number, Constant):
        return number.value
    if isinstance(number, Linear | Geometric):
        return min(number.start, number.end)
    return float("nan") if isinstance(number, Schedule) else float(number)
