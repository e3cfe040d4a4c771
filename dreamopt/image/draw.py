"""What transforms share: numbers drawn from a list or a range, lengths in pixels or parts, net sizes."""

from __future__ import annotations

from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.parts.checks import ANY, LARGEST_SIDE, SIDE, Fields, Range, plain_number
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream

Choices = tuple[float, ...]
Length = float
"""A whole number of pixels, or a number below 1: that part of the searched image's shorter side."""
FACTORS = Range(0.001, 1000)
"""By how much an image is zoomed."""


def check_choices(part: object, name: str, allowed: Range = ANY) -> None:
    """Check a transform's list of values and its range ``between``, of which exactly one is given: a value is drawn from it.

    Raises
    ------
    UsageError
        Where both are given or neither, and for numbers that are not allowed.
    """
    if (getattr(part, name) is None) == (getattr(part, "between") is None):  # noqa: B009  # a field of the part, whatever its class
        raise UsageError(f"{type(part).__name__} draws from a list of values or from between=(low, high); give one of the two")
    Fields(part).numbers(name, allowed, optional=True).pair("between", allowed, optional=True)


def drawn(stream: Stream, purpose: str, choices: Choices | None, between: tuple[float, float] | None, count: int = 1) -> list[float]:
    """Return ``count`` values, each from the list (all equally likely, one that stands there twice doubly) or from the range.

    >>> drawn(Stream(0, 0), "angle", (5,), None, 2)
    [5.0, 5.0]
    """
    if choices is not None:
        return [float(choices[i]) for i in stream.integers(purpose, 0, len(choices) - 1, count)]
    low, high = between if between is not None else (0.0, 0.0)
    return stream.uniform(purpose, low, high, count)


def check_length(part: object, name: str) -> None:
    """Check that a field is a whole number of pixels, or a part below 1 of a side."""
    value = getattr(part, name)
    length = plain_number(value)
    if length is None or not 0 <= length <= LARGEST_SIDE or (length >= 1 and length != int(length)):
        allowed = f"a whole number of pixels from 0 to {LARGEST_SIDE}, or a part of the side below 1"
        raise UsageError(f"{name} of {type(part).__name__} must be {allowed}, not {value}")
    object.__setattr__(part, name, length)


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


def check_size(part: object) -> None:
    """Check that a transform's ``height`` and ``width`` are whole numbers from 1, "net", or None; no width without a height."""
    height, width = (getattr(part, name) for name in ("height", "width"))
    fields = Fields(part)
    if not isinstance(height, str):
        fields.whole("height", SIDE, optional=True)
    elif height != "net":
        raise UsageError(f"height of {type(part).__name__} must be a whole number from 1 to {LARGEST_SIDE}, or 'net', not {height!r}")
    fields.whole("width", SIDE, optional=True)
    if width is not None and (height is None or height == "net"):
        raise UsageError(f"{type(part).__name__} needs a height beside the width {width}")


def target_size(height: Side, width: int | None, image: Tensor, context: StepContext) -> tuple[int, int]:
    """Return the size asked for: a square where only the height is; see `Side`."""
    if isinstance(height, int):
        return height, height if width is None else width
    if context.space is None:
        return int(image.shape[-2]), int(image.shape[-1])
    size = context.space.net_size if height == "net" else None
    return context.space.shape[-2:] if size is None else size  # type: ignore[return-value]  # of an image, so both are there
