"""The image is shifted by a few pixels, and what comes in is filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.colour import checked_colour
from dreamopt.image.filters import gather
from dreamopt.image.per_sample import samples_of, stacked
from dreamopt.image.transform import Fill, Transform, fill_value
from dreamopt.image.transforms.pad import outer
from dreamopt.parts.checks import LARGEST_SIDE, Fields, Range
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Translate(Transform):
    r"""Shift the image by whole pixels; what leaves is lost, what comes in is filled. The size stays.

    .. math:: x'_{y, x} = x_{y - s_y,\ x - s_x}, \qquad s_y, s_x \sim U\{l, \ldots, h\}

    Parameters
    ----------
    low, high : int
        l and h, both may be drawn. A wider range shifts more.
    fill : str, float or tuple
        "mean", "black", "grey", "white", a grey level 0-255, (red, green, blue), "reflect" or "replicate", as in `Pad`.

    References
    ----------
    .. [1] greentfrapp/lucent, ``optvis/transform.py``, ``jitter`` (0 to d - 1, zeros).
    """

    examples: ClassVar[tuple[str, ...]] = (
        "translate(-2, 2)",
        'translate(0, 3, "black")',
        'translate(-3, 4, "reflect")',
        'translate(-1, 2, "replicate")',
    )
    random: ClassVar[bool] = True
    identity: ClassVar[str] = "translate(0, 0)"

    low: int
    high: int
    fill: Fill = "mean"

    def __post_init__(self) -> None:
        Fields(self).whole("low", Range(-LARGEST_SIDE, LARGEST_SIDE)).whole("high", Range(-LARGEST_SIDE, LARGEST_SIDE))
        if self.low > self.high:
            raise UsageError(f"Translate draws whole numbers from low to high, not from {self.low} to {self.high}")
        if not isinstance(self.fill, str) or self.fill not in ("reflect", "replicate"):
            object.__setattr__(self, "fill", checked_colour(self.fill))

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return each item shifted by its own offsets."""
        sides, moved = image.shape[2:], []
        for one, stream in zip(samples_of(image), streams, strict=True):
            shifts = stream.integers("translate", self.low, self.high, 2)
            if not any(shifts):
                moved.append(one)
                continue
            if self.fill in ("reflect", "replicate"):
                rows, columns = (_shifted(side, s, str(self.fill), image.device) for side, s in zip(sides, shifts, strict=True))
                moved.append(gather(gather(one, 1, rows), 2, columns))
                continue
            made = fill_value(self.fill, image, context.space).expand_as(one).clone()
            to, source = zip(*(_overlap(side, s) for side, s in zip(sides, shifts, strict=True)), strict=True)
            made[:, to[0], to[1]] = one[:, source[0], source[1]]
            moved.append(made)
        return stacked(moved)


def _overlap(side: int, shift: int) -> tuple[slice, slice]:
    """Return where the part that stays goes to, and where it comes from."""
    kept = max(0, side - abs(shift))
    to, source = (side - kept, 0) if shift > 0 else (0, side - kept)
    return slice(to, to + kept), slice(source, source + kept)


def _shifted(side: int, shift: int, how: str, device: torch.device) -> Tensor:
    """Return which pixel stands at each place after the shift."""
    first = abs(shift) - shift
    return outer(side, abs(shift), how, device)[first : first + side]
