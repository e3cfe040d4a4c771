"""The image gets a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.image.colour import checked_colour
from dreamopt.image.draw import Length, check_length, pixels
from dreamopt.image.moves import Moves, Window
from dreamopt.image.moving import Moving
from dreamopt.image.transform import Fill, fill_value
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Pad(Moving):
    """Put a frame around the image, so that transforms that follow do not push it out.

    Parameters
    ----------
    pixels : int or float
        Width of the frame on each side, at least 0; below 1 it is a part of the searched image's shorter side.
    fill : str, float or tuple
        "mean", "black", "grey", "white", a grey level 0-255, (red, green, blue); or "reflect" (the image in a mirror, its last
        row not repeated), "replicate" (its last row again and again).

    References
    ----------
    .. [1] tensorflow/lucid, ``optvis/transform.py``, ``pad``.

    Examples
    --------
    >>> x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    >>> Pad(1)(x, [Stream(0, 0)])[0, 0, 1]
    tensor([0., 1., 2., 3., 0.])
    >>> Pad(3, "reflect")(x, [Stream(0, 0)])[0, 0, 1]
    tensor([2., 3., 2., 1., 2., 3., 2., 1., 2.])
    """

    examples: ClassVar[tuple[str, ...]] = (
        "pad(2)",
        'pad(0.4, "grey")',
        'pad(3, "reflect")',
        'pad(3, "replicate")',
        "pad(1, (255, 128, 0))",
    )
    identity: ClassVar[str] = "pad(0)"

    pixels: Length = 12
    fill: Fill = "mean"

    def __post_init__(self) -> None:
        check_length(self, "pixels")
        if not isinstance(self.fill, str) or self.fill not in ("reflect", "replicate"):
            object.__setattr__(self, "fill", checked_colour(self.fill))

    def moves(self, image: Tensor, stream: Stream, context: StepContext) -> Moves:
        """Return the window around the image."""
        width = pixels(self.pixels, image, context)
        if width == 0:
            return ()
        sides = image.shape[2:]
        height, across = (side + 2 * width for side in sides)
        if self.fill in ("reflect", "replicate"):
            rows, columns = (outer(side, width, str(self.fill), image.device) for side in sides)
            return (Window(-width, -width, height, across, places=(rows, columns)),)
        return (Window(-width, -width, height, across, fill_value(self.fill, image, context.space)),)


def outer(side: int, width: int, how: str, device: torch.device) -> Tensor:
    """Return which pixel stands at each place from -``width`` to beyond the other end, mirrored as often as needed."""
    place = torch.arange(-width, side + width, device=device)
    if how == "replicate" or side == 1:
        return place.clamp(0, side - 1)
    place = place % (2 * side - 2)
    return torch.minimum(place, 2 * side - 2 - place)
