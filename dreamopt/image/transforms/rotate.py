"""The image is turned about its centre."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.image.colour import checked_colour
from dreamopt.image.draw import Choices, check_choices, drawn
from dreamopt.image.moves import Mapped, Moves
from dreamopt.image.moving import Moving
from dreamopt.image.transform import Fill, fill_value
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Rotate(Moving):
    """Turn the image by a random angle about its centre; the size stays. Bilinear.

    Parameters
    ----------
    degrees : sequence of float, optional
        One is drawn, all equally likely (repeat one to make it likelier); positive turns counter-clockwise, as one looks at the
        image. A wider spread makes features that stand upright less.
    between : (float, float), optional
        Draw evenly from this range instead.
    fill : str, float or tuple
        What comes in at the corners: "mean", "black", "grey", "white", a grey level 0-255, or (red, green, blue).

    References
    ----------
    .. [1] tensorflow/lucid, ``optvis/transform.py``, ``random_rotate`` (which takes π for 3.14).

    Examples
    --------
    >>> import torch
    >>> Rotate([90])(torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]]), [Stream(0, 0)]).round()
    tensor([[[[1., 0.],
              [0., 0.]]]])
    """

    examples: ClassVar[tuple[str, ...]] = (
        "rotate((-10, 5, 10))",
        'rotate(between=(-15, 15), fill="black")',
    )
    random: ClassVar[bool] = True
    identity: ClassVar[str] = "rotate(0)"

    degrees: Choices | None = None
    between: tuple[float, float] | None = None
    fill: Fill = "mean"

    def __post_init__(self) -> None:
        check_choices(self, "degrees")
        object.__setattr__(self, "fill", checked_colour(self.fill))

    def moves(self, image: Tensor, stream: Stream, context: StepContext) -> Moves:
        """Return the item's turn."""
        (angle,) = drawn(stream, "rotate", self.degrees, self.between)
        if angle == 0:
            return ()
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        return (Mapped(((cos, sin), (-sin, cos)), (0.0, 0.0), fill_value(self.fill, image, context.space)),)
