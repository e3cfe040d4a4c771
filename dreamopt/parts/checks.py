"""Checks of numbers that parts and settings take: finite, whole where counted, within a range; for schedules, every value they can give.

A part checks its own fields once, where it takes them::

    def __post_init__(self) -> None:
        Fields(self).scheduled("step_size", POSITIVE).number("beta1", DECAY).number("beta2", DECAY)

Each check also stores the field as Python's own number, so that numpy's do not stand in strings. Booleans are no numbers here. A float
that is whole counts as a whole number: 32.0 is stored as 32, and 1.5 is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from dreamopt.errors import DreamoptError, UsageError
from dreamopt.parts.part import Part, literal, number_string

T = TypeVar("T")

LARGEST = 1e30
"""What every number's size stays below; the square root of float32's range would be passed soon after."""
LARGEST_COUNT = 10**9
"""The most of anything that is counted (steps, samples, octaves), where nothing smaller is said."""
LARGEST_SIDE = 2**15
"""The most pixels along a side of an image, and of any length in pixels."""


@dataclass(frozen=True)
class Range:
    """An interval of numbers; an end may be left open.

    Parameters
    ----------
    low, high : float
        The ends.
    above, below : bool
        Whether the lower end, and the upper end, lie outside.

    Examples
    --------
    >>> print(Range(0, 1, below=True), "|", Range(low=1))
    from 0 to below 1 | at least 1
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, low: float, high: float) -> bool:
        """Return whether all numbers from ``low`` to ``high`` lie inside."""
        return (low > self.low if self.above else low >= self.low) and (high < self.high if self.below else high <= self.high)

    def __str__(self) -> str:
        low, high = ("" if math.isinf(end) else str(end) if isinstance(end, int) else number_string(end) for end in (self.low, self.high))
        if low and high and not self.above:
            return f"from {low} to {'below ' if self.below else ''}{high}"
        ends = [f"{'above' if self.above else 'at least'} {low}"] if low else []
        return " and ".join([*ends, f"{'below' if self.below else 'at most'} {high}"] if high else ends)


ANY = Range()
POSITIVE = Range(low=0, above=True)
NOT_NEGATIVE = Range(low=0)
FRACTION = Range(0, 1)
DECAY = Range(0, 1, below=True)
PERCENT = Range(0, 100)
COUNT = Range(low=1)
SIDE = Range(1, LARGEST_SIDE)
PIXELS = Range(0, LARGEST_SIDE)


@runtime_checkable
class Ranged(Protocol):
    """A schedule that knows between which numbers its values lie."""

    def value_range(self) -> tuple[float, float] | None:
        """Return the smallest and the largest value, infinite where there is no end; None where that is unknown."""


def check_number(what: str, value: object, allowed: Range = ANY, error: type[DreamoptError] = UsageError) -> float:
    """Return a number as Python's own, whole ones as int.

    Parameters
    ----------
    what : str
        Names the number in the error, as "sigma of Blur".
    value : object
        Anything; numpy's numbers are numbers.
    allowed : Range
        Where it must lie; below `LARGEST` in size in any case.
    error : type
        The error to raise.

    Raises
    ------
    DreamoptError
        Of the type ``error``, for what is not a number, not finite, or out of range.

    Examples
    --------
    >>> check_number("sigma of Blur", 0.5, NOT_NEGATIVE)
    0.5
    """
    plain = plain_number(value)
    if plain is None or not allowed.holds(plain, plain) or not abs(plain) < LARGEST:
        raise error(f"{what} must be {_wanted(allowed, plain)}, not {shown(value)}")
    return plain


def check_whole(what: str, value: object, allowed: Range = COUNT, error: type[DreamoptError] = UsageError) -> int:
    """Return a whole number as int, refused as by `check_number`; up to `LARGEST_COUNT` where the range has no upper end.

    >>> check_whole("steps", 32.0)
    32
    """
    plain = plain_number(value)
    capped = Range(max(allowed.low, -LARGEST_COUNT), min(allowed.high, LARGEST_COUNT), allowed.above, allowed.below)
    if plain is None or not _is_finite(plain) or plain != int(plain) or not capped.holds(plain, plain):
        ends = allowed if plain is None or not abs(plain) > LARGEST_COUNT else capped
        raise error(f"{what} must be a whole number {_joined(ends)}".rstrip() + f", not {shown(value)}")
    return int(plain)


def check_scheduled(what: str, value: Any, allowed: Range = ANY, error: type[DreamoptError] = UsageError) -> Any:
    """Return a number, or a schedule all of whose values lie in the range; of a plain function nothing is known before it is called.

    Raises
    ------
    DreamoptError
        Of the type ``error``, as by `check_number`, and for a schedule that reaches beyond the range.
    """
    # Parts are called too, but with something else; schedules are none.
    if not callable(value) or isinstance(value, type | Part):
        return check_number(what, value, allowed, error)
    ends = value.value_range() if isinstance(value, Ranged) else None
    if ends is not None and not allowed.holds(*ends):
        raise error(f"{what} must be {allowed}, not {literal(value)}, which gives numbers from {ends[0]:g} to {ends[1]:g}")
    return value


def check_flag(what: str, value: object, error: type[DreamoptError] = UsageError) -> bool:
    """Return a truth value as Python's own.

    Parameters
    ----------
    what : str
        Names it in the error.
    value : object
        True or False, numpy's too.
    error : type
        The error to raise.

    Raises
    ------
    DreamoptError
        Of the type ``error``, for anything else.

    Examples
    --------
    >>> check_flag("strict", "no")
    Traceback (most recent call last):
    dreamopt.errors.UsageError: strict must be True or False, not 'no'
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise error(f"{what} must be True or False, not {shown(value)}")
    return bool(value)


def check_kind(what: str, value: object, kind: type[T] | tuple[type[T], ...], name: str, error: type[DreamoptError] = UsageError) -> T:
    """Return an object of a class, refused as by `check_flag`.

    Parameters
    ----------
    what, value, error
        As for `check_flag`.
    kind : type, or a tuple of them
        What it must be.
    name : str
        The kind in words, as "a tensor".

    Examples
    --------
    >>> check_kind("patience", 3, dict, "a mapping")
    Traceback (most recent call last):
    dreamopt.errors.UsageError: patience must be a mapping, not 3
    """
    if not isinstance(value, kind):
        raise error(f"{what} must be {name}, not {shown(value)}")
    return value


class Fields:
    """Checks of a part's own fields, one after the other; each reads the field, and stores it as Python's own number.

    Parameters
    ----------
    part : dataclass
        Frozen or not; named in errors by its class.
    error : type
        The error to raise.
    name : str, optional
        What the part is called in errors; its class by default.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Glow:
    ...     width: float = 2.0
    ...     rounds: int = 3
    ...     def __post_init__(self):
    ...         Fields(self).number("width", POSITIVE).whole("rounds")
    >>> Glow(rounds=1.5)
    Traceback (most recent call last):
    dreamopt.errors.UsageError: rounds of Glow must be a whole number of at least 1, not 1.5
    """

    def __init__(self, part: object, error: type[DreamoptError] = UsageError, name: str | None = None) -> None:
        self._part = part
        self._error = error
        self._name = type(part).__name__ if name is None else name

    def number(self, name: str, allowed: Range = ANY, *, optional: bool = False) -> Self:
        """Check a plain number; None too is allowed where it is ``optional``."""
        return self._each(check_number, name, allowed, optional)

    def whole(self, name: str, allowed: Range = COUNT, *, optional: bool = False) -> Self:
        """Check a whole number."""
        return self._each(check_whole, name, allowed, optional)

    def scheduled(self, name: str, allowed: Range = ANY, *, optional: bool = False) -> Self:
        """Check a number that may be a schedule."""
        return self._each(check_scheduled, name, allowed, optional)

    def numbers(self, name: str, allowed: Range = ANY, *, optional: bool = False) -> Self:
        """Check one number or several, and store them as a tuple."""
        return self._many(check_number, name, allowed, optional)

    def whole_numbers(self, name: str, allowed: Range = COUNT, *, optional: bool = False) -> Self:
        """Check one whole number or several, and store them as a tuple."""
        return self._many(check_whole, name, allowed, optional)

    def pair(self, name: str, allowed: Range = ANY, *, optional: bool = False, equal: bool = True) -> Self:
        """Check two rising numbers (low, high), and store them as a tuple; the same number twice only where ``equal`` is."""
        value = getattr(self._part, name)
        if value is None and optional:
            return self
        both = several(value)
        if both is None or len(both) != 2:
            raise self._error(f"{self._what(name)} must be two numbers (low, high), not {shown(value)}")
        low, high = (check_number(self._what(name), end, allowed, self._error) for end in both)
        if not (low <= high if equal else low < high):
            raise self._error(f"{self._what(name)} must be (low, high), not {shown((low, high))}")
        return self._store(name, (low, high))

    def choice(self, name: str, choices: Iterable[object]) -> Self:
        """Check that a field is one of a few values."""
        value, known = getattr(self._part, name), tuple(choices)
        # Not `in`: 1 is equal to True, and an array is equal to nothing in particular.
        if not any(type(value) is type(choice) and value == choice for choice in known):
            *others, last = (choice if isinstance(choice, str) else repr(choice) for choice in known)
            raise self._error(f"{self._what(name)} must be {', '.join(others)} or {last}, not {shown(value)}")
        return self

    def text(self, name: str, *, optional: bool = False) -> Self:
        """Check that a field is a text of at least one character; None too is allowed where it is ``optional``."""
        value = getattr(self._part, name)
        if not (value is None and optional) and not (isinstance(value, str) and value):
            raise self._error(f"{self._what(name)} must be a text{' or None' if optional else ''}, not {shown(value)}")
        return self

    def instance(self, name: str, kind: type | tuple[type, ...], what: str, *, optional: bool = False) -> Self:
        """Check that a field is an object of a class, which ``what`` names in the error."""
        value = getattr(self._part, name)
        if not (value is None and optional):
            check_kind(self._what(name), value, kind, f"{what} or None" if optional else what, self._error)
        return self

    def flag(self, *names: str) -> Self:
        """Check that fields are True or False; numpy's too, which are stored as Python's."""
        for name in names:
            self._store(name, check_flag(self._what(name), getattr(self._part, name), self._error))
        return self

    def _each(self, check: Callable[..., Any], name: str, allowed: Range, optional: bool) -> Self:
        value = getattr(self._part, name)
        return self if value is None and optional else self._store(name, check(self._what(name), value, allowed, self._error))

    def _many(self, check: Callable[..., Any], name: str, allowed: Range, optional: bool) -> Self:
        value = getattr(self._part, name)
        if value is None and optional:
            return self
        many = several(value)
        values = (value,) if many is None else many
        if not values:
            raise self._error(f"{self._what(name)} must be at least one number, not {shown(value)}")
        return self._store(name, tuple(check(self._what(name), one, allowed, self._error) for one in values))

    def _what(self, name: str) -> str:
        return f"{name} of {self._name}"

    def _store(self, name: str, value: object) -> Self:
        object.__setattr__(self._part, name, value)
        return self


def plain_number(value: object) -> float | None:
    """Return a real number as int or float, whatever library it is of; None for anything else."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # an array without axes, of numpy or torch
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    if isinstance(value, Integral):
        return int(value)
    try:
        return float(value)
    except OverflowError:  # a fraction beyond all floats
        return math.inf


def _is_finite(value: float) -> bool:
    """Return whether a number is finite, also for whole numbers beyond all floats."""
    return isinstance(value, int) or math.isfinite(value)


def several(value: object) -> tuple[Any, ...] | None:
    """Return the values of a list, tuple or array; None for what is one value."""
    if isinstance(value, str | bytes | Mapping | Set) or not isinstance(value, Iterable):
        return None
    try:
        return tuple(value)
    except TypeError:  # an array without axes
        return None


def _wanted(allowed: Range, value: float | None) -> str:
    if value is None:
        return f"a number {_joined(allowed)}".rstrip()
    if not _is_finite(value):
        return f"a finite number {_joined(allowed)}".rstrip()
    if allowed.holds(value, value):
        return f"{allowed}, and below {LARGEST:g} in size".removeprefix(", and ")
    return str(allowed)


def _joined(allowed: Range) -> str:
    text = str(allowed)
    return f"of {text}" if text.startswith("at ") else text


def shown(value: object) -> str:
    """Return a value as an error shows it: shortened."""
    try:
        text = repr(value) if isinstance(value, str | tuple | list) else str(value)
    except ValueError:  # Python does not print whole numbers of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."
