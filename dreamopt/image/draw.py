"""What transforms share: numbers drawn from a list or a range, lengths in pixels or parts, net sizes."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real

from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream

Choices = tuple[float, ...]
Length = float
"""A whole number of pixels, or a number below 1: that part of the searched image's shorter side."""


def checked_choices(name: str, choices: object, between: object) -> tuple[Choices | None, tuple[float, float] | None]:
    """Return a list of values and a range as tuples, one of them None: a value is drawn from the one that is given.

    Raises
    ------
    UsageError
        Unless exactly one is given, and is well formed.
    """
    if (choices is None) == (between is None):
        raise UsageError(f"{name} draws from a list of values or from between=(low, high); give one of the two")
    given = choices if between is None else between
    many = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    # Plain numbers: numpy's would be printed by their own names.
    values = tuple(int(v) if isinstance(v, Integral) else float(v) for v in many if isinstance(v, Real))
    if not many or len(values) != len(many):
        raise UsageError(f"{name} draws from numbers, not {given!r}")
    if between is None:
        return values, None
    if len(values) != 2 or values[0] > values[1]:
        raise UsageError(f"between of {name} must be (low, high), not {given!r}")
    return None, (values[0], values[1])


def drawn(stream: Stream, purpose: str, choices: Choices | None, between: tuple[float, float] | None, count: int = 1) -> list[float]:
    """Return ``count`` values, each from the list (all equally likely, one that stands there twice doubly) or from the range.

    >>> drawn(Stream(0, 0), "angle", (5,), None, 2)
    [5.0, 5.0]
    """
    if choices is not None:
        return [float(choices[i]) for i in stream.integers(purpose, 0, len(choices) - 1, count)]
    low, high = between if between is not None else (0.0, 0.0)
    return stream.uniform(purpose, low, high, count)


def checked_length(name: str, value: Length) -> None:
    """Refuse a length that is neither a whole number of pixels nor a part below 1."""
    if not value >= 0 or (value >= 1 and value != int(value)):
        raise UsageError(f"{name} must be a whole number of pixels from 0, or a part of the side below 1, not {value}")


def pixels(value: Length, image: Tensor, context: StepContext) -> int:
    """Return a length in pixels; a part is that of the searched image, so that it stays the same all along a list of transforms.

    >>> import torch
    >>> pixels(5, torch.zeros(1, 3, 8, 20), StepContext()), pixels(0.25, torch.zeros(1, 3, 8, 20), StepContext())
    (5, 2)
    """
    if value >= 1 or value == 0:
        return int(value)
    shape = image.shape if context.space is None else context.space.shape
    return round(value * min(shape[-2:]))


Side = int | str | None
"""A height: pixels, "net" for the height and width in the net's file, or None for those of the searched image."""


def checked_size(name: str, height: Side, width: int | None) -> None:
    """Refuse sizes that are neither whole numbers from 1 nor "net"."""
    for value in (height, width):
        if value is not None and value != "net" and (isinstance(value, str) or value < 1 or value != int(value)):
            raise UsageError(f"the size of {name} must be whole numbers from 1, or 'net', not {height} and {width}")
    if width is not None and not isinstance(height, int):
        raise UsageError(f"{name} needs a height beside the width {width}")


def target_size(height: Side, width: int | None, image: Tensor, context: StepContext) -> tuple[int, int]:
    """Return the size asked for: a square where only the height is; see `Side`."""
    if isinstance(height, int):
        return height, height if width is None else width
    if context.space is None:
        return int(image.shape[-2]), int(image.shape[-1])
    window = context.space.net_size if height == "net" else None
    return context.space.shape[-2:] if window is None else window  # type: ignore[return-value]  # of a picture, so both are there
