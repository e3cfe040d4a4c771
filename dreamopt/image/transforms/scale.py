"""The image is zoomed about its centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.image.colour import checked_colour
from dreamopt.image.draw import FACTORS, Choices, check_choices, drawn
from dreamopt.image.moves import Moves, Resampled
from dreamopt.image.moving import Moving
from dreamopt.image.transform import Fill, fill_value
from dreamopt.parts.checks import Fields
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Scale(Moving):
    """Zoom by a random factor about the centre; the size stays: a larger image is cut, a smaller one gets a frame.

    Bilinear. Lucid's own changes the size instead, which a batch whose items each have a factor of their own cannot.

    Parameters
    ----------
    factors : sequence of float, optional
        One is drawn, all equally likely; from 0.001 to 1000, 1 leaves the image as it is. A wider spread makes features of more sizes.
    between : (float, float), optional
        Draw evenly from this range instead.
    fill : str, float or tuple
        What lies around a smaller image: "mean", "black", "grey", "white", a grey level 0-255, or (red, green, blue).
    apart : bool
        Draw a factor for the height and one for the width (torch-dreams' random resize).
    antialias : bool
        Average over all pixels that fall into one, which matters for factors below about 0.7; plain bilinear interpolation, as in
        the published sets, skips some.

    References
    ----------
    .. [1] tensorflow/lucid, ``optvis/transform.py``, ``random_scale``.

    Examples
    --------
    >>> import torch
    >>> Scale([2])(torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]]), [Stream(0, 0)])
    tensor([[[[1.7500, 2.2500, 2.7500, 3.2500]]]])
    """

    examples: ClassVar[tuple[str, ...]] = (
        "scale((0.9, 1.1, 1.2))",
        "scale(between=(0.5, 1.2), fill=30, apart=True, antialias=True)",
    )
    random: ClassVar[bool] = True
    identity: ClassVar[str] = "scale(1)"

    factors: Choices | None = None
    between: tuple[float, float] | None = None
    fill: Fill = "mean"
    apart: bool = False
    antialias: bool = False

    def __post_init__(self) -> None:
        check_choices(self, "factors", FACTORS)
        Fields(self).flag("apart", "antialias")
        object.__setattr__(self, "fill", checked_colour(self.fill))

    def moves(self, image: Tensor, stream: Stream, context: StepContext) -> Moves:
        """Return the item's zoom."""
        h, w = image.shape[2:]
        values = drawn(stream, "scale", self.factors, self.between, 2 if self.apart else 1)
        if all(value == 1 for value in values):
            return ()
        height, width = h / values[0], w / values[-1]
        box = ((h - height) / 2, (w - width) / 2, height, width)
        return (Resampled(box, (h, w), fill_value(self.fill, image, context.space), self.antialias),)
