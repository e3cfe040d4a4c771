"""Schedules: numbers that change during a run, and the step at which they are asked for.

Every number of an optimizer or a regularizer may be a plain number or a schedule; `at` turns either into the number of
this step. A schedule only looks at the `StepContext`, so it is the same for every sample of a batch and after a resume.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from dreamopt.errors import UsageError
from dreamopt.parts.checks import NOT_NEGATIVE, POSITIVE, Fields, Ranged, check_number, check_scheduled, several, shown

if TYPE_CHECKING:
    from torch import Tensor

    from dreamopt.parts.image_space import ImageSpace


@dataclass(frozen=True)
class StepContext:
    """A step of a run: its number, and what is known at it.

    Parameters
    ----------
    step : int
        Number of the step, from 0.
    steps : int
        How many steps the run (one octave or stage) has, at least 1.
    gradient : Tensor, optional
        (N, C, H, W), the objective's gradient at the image before this step, for projections that look at it; while
        the step is evaluated, for penalties alone, and None before it is known.
    space : ImageSpace, optional
        The space the image lives in: black, white, the length of a grey level.
    octave, octaves : int
        Number of the octave (or stage), from 0, and how many there are.
    values : Tensor, optional
        (N,) what was maximised, before this step; for optimizers whose step depends on it.
    start : Tensor, optional
        (N, C, H, W), the image before the first step, for projections that stay near it.
    before : Tensor, optional
        (N, C, H, W), the image before this step, for projections that bound what the step changes.
    """

    step: int = 0
    steps: int = 1
    gradient: Tensor | None = None
    space: ImageSpace | None = None
    octave: int = 0
    octaves: int = 1
    values: Tensor | None = None
    start: Tensor | None = None
    before: Tensor | None = None

    def progress(self, inclusive: bool = False) -> float:
        """Return ``step / steps``, or ``step / (steps - 1)`` so that the last step gives 1."""
        span = self.steps - 1 if inclusive else self.steps
        return self.step / span if span > 0 else 0.0


class Schedule:
    """Contract: a number for each step; subclasses are frozen dataclasses, so that their repr makes them again."""

    def __call__(self, context: StepContext) -> float:
        """Return the number at ``context``."""
        raise AssertionError(f"{type(self).__name__} does not say its number")

    def value_range(self) -> tuple[float, float] | None:
        """Return the smallest and the largest number that it can give, infinite where there is no end; None where that is unknown.

        Parts check their ranges against it when they are made.
        """
        return None

    def begins(self) -> float | None:
        """Return the number that it is written to begin with; None where it is not written."""
        return None

    def times(self, factor: float) -> Schedule:
        """Return the schedule with all its numbers multiplied."""
        raise UsageError(f"the schedule {shown(self)} does not say how its numbers are multiplied, so that they cannot be tuned")


@dataclass(frozen=True)
class Constant(Schedule):
    """The same ``value`` at every step.

    >>> Constant(1.5)(StepContext(step=7, steps=10))
    1.5
    """

    value: float

    def __post_init__(self) -> None:
        Fields(self).number("value")

    def __call__(self, context: StepContext) -> float:
        """Return the value."""
        return self.value

    def value_range(self) -> tuple[float, float]:
        """Return the value twice."""
        return self.value, self.value

    def begins(self) -> float:
        """Return the value."""
        return self.value

    def times(self, factor: float) -> Constant:
        """Return the schedule with its value multiplied."""
        return Constant(_product(self.value, factor))


@dataclass(frozen=True)
class Linear(Schedule):
    r"""A straight line from ``start`` towards ``end``.

    .. math:: v_i = s + (e - s)\, i / n

    so that the end would be reached at step n, one past the last (Øygard's tables are meant so); with ``inclusive`` the
    divisor is n - 1 and the last step has the end's value.

    >>> [Linear(2.5, 0.5)(StepContext(i, 4)) for i in range(4)]
    [2.5, 2.0, 1.5, 1.0]
    >>> Linear(2.5, 0.5, inclusive=True)(StepContext(3, 4))
    0.5
    """

    start: float
    end: float
    inclusive: bool = False

    def __post_init__(self) -> None:
        Fields(self).number("start").number("end").flag("inclusive")

    def __call__(self, context: StepContext) -> float:
        """Return the line's value."""
        return self.start + (self.end - self.start) * context.progress(self.inclusive)

    def value_range(self) -> tuple[float, float]:
        """Return both ends, the smaller first."""
        return min(self.start, self.end), max(self.start, self.end)

    def begins(self) -> float:
        """Return the start."""
        return self.start

    def times(self, factor: float) -> Linear:
        """Return the schedule with both ends multiplied."""
        return replace(self, start=_product(self.start, factor), end=_product(self.end, factor))


@dataclass(frozen=True)
class Geometric(Schedule):
    r"""Equal ratios from ``start`` towards ``end``, both above 0.

    .. math:: v_i = s\, (e / s)^{i / n}

    (n - 1 for n with ``inclusive``, as in `Linear`).

    >>> [Geometric(8.0, 0.5)(StepContext(i, 4)) for i in range(4)]
    [8.0, 4.0, 2.0, 1.0]
    """

    start: float
    end: float
    inclusive: bool = False

    def __post_init__(self) -> None:
        Fields(self).number("start", POSITIVE).number("end", POSITIVE).flag("inclusive")

    def __call__(self, context: StepContext) -> float:
        """Return the value."""
        return float(self.start * (self.end / self.start) ** context.progress(self.inclusive))

    def value_range(self) -> tuple[float, float]:
        """Return both ends, the smaller first."""
        return min(self.start, self.end), max(self.start, self.end)

    def begins(self) -> float:
        """Return the start."""
        return self.start

    def times(self, factor: float) -> Geometric:
        """Return the schedule with both ends multiplied."""
        return replace(self, start=_product(self.start, factor), end=_product(self.end, factor))


@dataclass(frozen=True)
class PerOctave(Schedule):
    """One of ``values``, each a number or a schedule, for each octave; the last one goes on where there are more octaves.

    >>> PerOctave((4.0, 2.0))(StepContext(step=3, steps=10, octave=1, octaves=2))
    2.0
    """

    values: tuple[Number, ...]

    def __post_init__(self) -> None:
        values = several(self.values)
        if not values:
            raise UsageError(f"values of PerOctave must be at least one number or schedule in brackets, not {shown(self.values)}")
        object.__setattr__(self, "values", tuple(check_scheduled("values of PerOctave", value) for value in values))

    def __call__(self, context: StepContext) -> float:
        """Return the octave's value."""
        return at(self.values[min(context.octave, len(self.values) - 1)], context)

    def value_range(self) -> tuple[float, float] | None:
        """Return the smallest and the largest of all octaves."""
        ranges = [value_range(value) for value in self.values]
        known = [ends for ends in ranges if ends is not None]
        return (min(low for low, _ in known), max(high for _, high in known)) if len(known) == len(ranges) else None

    def begins(self) -> float | None:
        """Return the number that the first octave begins with."""
        return begins(self.values[0])

    def times(self, factor: float) -> PerOctave:
        """Return the schedule with all values multiplied."""
        return PerOctave(tuple(times(value, factor) for value in self.values))


@dataclass(frozen=True)
class Piecewise(Schedule):
    """Numbers that change at given steps: ``values[k]`` from step ``starts[k]`` on; ``starts`` begins with 0 and rises.

    >>> [Piecewise((0, 3), (1.0, 0.1))(StepContext(step, 5)) for step in range(5)]
    [1.0, 1.0, 1.0, 0.1, 0.1]
    """

    starts: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        Fields(self).whole_numbers("starts", NOT_NEGATIVE).numbers("values")
        rises = all(a < b for a, b in zip(self.starts, self.starts[1:], strict=False))
        if not self.starts or self.starts[0] != 0 or not rises or len(self.starts) != len(self.values):
            raise UsageError(f"Piecewise needs as many rising starts, from 0, as values, not {self.starts} and {self.values}")

    def __call__(self, context: StepContext) -> float:
        """Return the piece's value."""
        return float(self.values[bisect_right(self.starts, context.step) - 1])

    def value_range(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        return min(self.values), max(self.values)

    def begins(self) -> float:
        """Return the first value."""
        return self.values[0]

    def times(self, factor: float) -> Piecewise:
        """Return the schedule with all values multiplied."""
        return replace(self, values=tuple(_product(value, factor) for value in self.values))


@dataclass(frozen=True)
class PerValue(Schedule):
    r"""A number for each value of the image.

    .. math:: v_i = n_i\, C H W

    for steps and weights that belong to an image's squared length, and so to its size. Without an image to look at it is the number.

    >>> PerValue(Linear(2.0, 1.0))(StepContext(step=1, steps=2))
    1.5
    """

    number: Number

    def __post_init__(self) -> None:
        Fields(self).scheduled("number")

    def __call__(self, context: StepContext) -> float:
        """Return the number times the count of values."""
        return at(self.number, context) * (1 if context.space is None else prod(context.space.shape))

    def value_range(self) -> tuple[float, float] | None:
        """Return the number's range times any count of values from 1 on."""
        ends = value_range(self.number)
        return None if ends is None else (min(ends[0], _endless(ends[0])), max(ends[1], _endless(ends[1])))

    def begins(self) -> float | None:
        """Return what the number begins with."""
        return begins(self.number)

    def times(self, factor: float) -> PerValue:
        """Return the schedule with its number multiplied."""
        return PerValue(times(self.number, factor))


@dataclass(frozen=True)
class PerGreyLevel(Schedule):
    r"""A number for each grey level, or power of one: the weight of a penalty, the same for nets that see 0-255 and 0-1.

    .. math:: v_i = n_i / u^k

    with u the length of a grey level in the net's input; 1 where nothing is known of it.

    >>> PerGreyLevel(0.5, power=2)(StepContext())
    0.5
    """

    number: Number
    power: float = 1.0

    def __post_init__(self) -> None:
        Fields(self).scheduled("number").number("power")

    def __call__(self, context: StepContext) -> float:
        """Return the number over the grey level's power."""
        return at(self.number, context) / (1.0 if context.space is None else float(context.space.grey_level**self.power))

    def value_range(self) -> tuple[float, float] | None:
        """Return the number's range times anything above 0."""
        ends = value_range(self.number)
        if ends is None:
            return None
        # So near to 0 that only the sign is known; 0 itself is not among the values of a number that is not 0.
        near = math.ulp(0.0)
        low, high = ends
        return (near if low > 0 else _endless(low)), (-near if high < 0 else _endless(high))

    def begins(self) -> float | None:
        """Return what the number begins with."""
        return begins(self.number)

    def times(self, factor: float) -> PerGreyLevel:
        """Return the schedule with its number multiplied."""
        return replace(self, number=times(self.number, factor))


Number = float | Schedule | Callable[[StepContext], float]
"""What a parameter that may be scheduled takes: a number, a schedule, or any function of the step's context."""
SCHEDULES = (Constant, Linear, Geometric, PerOctave, Piecewise, PerValue, PerGreyLevel)
"""The schedules that have a name in strings."""


def at(number: Number, context: StepContext) -> float:
    """Return a plain number as it is, and a schedule's number at ``context``.

    Raises
    ------
    UsageError
        For a schedule, or a function, that gives something that is no finite number.

    Examples
    --------
    >>> at(0.5, StepContext(3, 4)), at(Linear(1, 0), StepContext(3, 4))
    (0.5, 0.25)
    """
    if not callable(number):
        return float(number)
    value = float(number(context))
    return value if math.isfinite(value) else float(check_number(f"the value of {number} at step {context.step}", value))


def value_range(number: Number) -> tuple[float, float] | None:
    """Return the smallest and the largest value of a number or a schedule; None where it is unknown.

    >>> value_range(0.5), value_range(Linear(2, 1))
    ((0.5, 0.5), (1, 2))
    """
    if callable(number):
        return number.value_range() if isinstance(number, Ranged) else None
    return float(number), float(number)


def begins(number: Number) -> float | None:
    """Return a number, or what a schedule is written to begin with; None of a plain function.

    >>> begins(0.5), begins(PerOctave((Linear(3, 1), 2)))
    (0.5, 3)
    """
    if isinstance(number, Schedule):
        return number.begins()
    return None if callable(number) else float(number)


def times(number: Number, factor: float) -> Number:
    """Return a number multiplied, or a schedule with all its numbers multiplied.

    Raises
    ------
    UsageError
        For a plain function, and a schedule that does not say how.

    Examples
    --------
    >>> print(times(Linear(8, 1), 0.5))
    Linear(start=4.0, end=0.5, inclusive=False)
    """
    if isinstance(number, Schedule):
        return number.times(factor)
    if callable(number):
        raise UsageError(f"{shown(number)} is a function, so that its numbers cannot be multiplied to tune them; use a schedule")
    return _product(number, factor)


def _product(number: float, factor: float) -> float:
    """Return a product without the last digits, in which only rounding is."""
    return float(f"{number * factor:.12g}")


def _endless(end: float) -> float:
    """Return where an end goes when it is multiplied by ever larger numbers."""
    return end if end == 0 else math.copysign(math.inf, end)
