"""Jitter by cropping: the image loses a few rows and columns, now on this side, now on that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.image.draw import Length, check_length, pixels
from dreamopt.image.moves import Moves, Window
from dreamopt.image.moving import Moving
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class CropJitter(Moving):
    r"""Crop to a window smaller by some pixels, at a random place.

    .. math:: x'_{y, x} = x_{y + s_y,\ x + s_x}, \qquad s_y, s_x \sim U\{0, \ldots, p\}

    The output is H - p by W - p (at least 1). Unlike `Jitter`, nothing comes back on the other side.

    Parameters
    ----------
    pixels : int or float
        p, at least 0; below 1 it is a part of the searched image's shorter side. Larger values shift more, and show the net less
        of the image.

    References
    ----------
    .. [1] tensorflow/lucid, ``optvis/transform.py``, ``jitter``.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "crop_jitter(2)",
        "crop_jitter(0.4)",
    )
    random: ClassVar[bool] = True
    identity: ClassVar[str] = "crop_jitter(0)"

    pixels: Length = 8

    def __post_init__(self) -> None:
        check_length(self, "pixels")

    def moves(self, image: Tensor, stream: Stream, context: StepContext) -> Moves:
        """Return the item's own window."""
        lost = pixels(self.pixels, image, context)
        if lost == 0:
            return ()
        h, w = (max(1, side - lost) for side in image.shape[2:])
        draw = stream.generator("crop_jitter")
        top, left = (int(draw.integers(0, side - kept, endpoint=True)) for side, kept in zip(image.shape[2:], (h, w), strict=True))
        return (Window(top, left, h, w),)
