"""The image is shifted by a few pixels, and what comes in is filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.colour import checked_colour
from dreamopt.image.moves import Moves, Window
from dreamopt.image.moving import Moving
from dreamopt.image.transform import Fill, fill_value
from dreamopt.image.transforms.pad import outer
from dreamopt.parts.checks import LARGEST_SIDE, Fields, Range
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Translate(Moving):
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

    def moves(self, image: Tensor, stream: Stream, context: StepContext) -> Moves:
        """Return the item shifted by its own offsets."""
        (h, w), (down, right) = image.shape[2:], stream.integers("translate", self.low, self.high, 2)
        if down == right == 0:
            return ()
        if self.fill in ("reflect", "replicate"):
            rows, columns = (_shifted(side, s, str(self.fill), image.device) for side, s in ((h, down), (w, right)))
            return (Window(-down, -right, h, w, places=(rows, columns)),)
        return (Window(-down, -right, h, w, fill_value(self.fill, image, context.space)),)


def _shifted(side: int, shift: int, how: str, device: torch.device) -> Tensor:
    """Return which pixel stands at each place after the shift."""
    first = abs(shift) - shift
    return outer(side, abs(shift), how, device)[first : first + side]
