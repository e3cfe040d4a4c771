"""The image is turned, shifted, zoomed and sheared at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.image.colour import checked_colour
from dreamopt.image.draw import FACTORS
from dreamopt.image.moves import Mapped, Moves
from dreamopt.image.moving import Moving
from dreamopt.image.transform import Fill, fill_value
from dreamopt.parts.checks import FRACTION, NOT_NEGATIVE, Fields, Range
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Affine(Moving):
    r"""Turn, shift, zoom and shear the image about its centre, in one interpolation; the size stays.

    Each number is drawn evenly between its two ends. Bilinear, without averaging: for factors far below 1 use `Scale`.

    Parameters
    ----------
    degrees : float
        Turn by up to this angle either way, at least 0. torch-dreams uses 15.
    shift : float
        Shift by up to this part of the side either way, 0 to 1.
    factors : (float, float)
        Zoom by a factor from this range, from 0.001 to 1000.
    shear : float
        Lean vertical lines by up to this angle either way, 0 to below 90.
    fill : str, float or tuple
        What comes in: "mean", "black", "grey", "white", a grey level 0-255, or (red, green, blue).

    References
    ----------
    .. [1] Mayukhdeb/torch-dreams, ``RandomAffine``.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "affine()",
        'affine(20, 0.2, (0.8, 1.3), 10, "grey")',
    )
    random: ClassVar[bool] = True
    identity: ClassVar[str] = "affine(0)"

    degrees: float = 15.0
    shift: float = 0.0
    factors: tuple[float, float] = (1.0, 1.0)
    shear: float = 0.0
    fill: Fill = "mean"

    def __post_init__(self) -> None:
        fields = Fields(self).number("degrees", NOT_NEGATIVE).number("shift", FRACTION).number("shear", Range(0, 90, below=True))
        fields.pair("factors", FACTORS)
        object.__setattr__(self, "fill", checked_colour(self.fill))

    def moves(self, image: Tensor, stream: Stream, context: StepContext) -> Moves:
        """Return the item's map."""
        if self.degrees == self.shift == self.shear == 0 and min(self.factors) == max(self.factors) == 1:
            return ()
        h, w = image.shape[2:]
        turn, down, right, lean, zoom = stream.uniform("affine", -1, 1, 5)
        low, high = self.factors
        cos, sin = math.cos(math.radians(turn * self.degrees)), math.sin(math.radians(turn * self.degrees))
        slant, factor = math.tan(math.radians(lean * self.shear)), low + (high - low) * (zoom + 1) / 2
        # Turned back, straightened (a column moves by slant a row), and zoomed back.
        matrix = ((cos / factor, sin / factor), ((slant * cos - sin) / factor, (slant * sin + cos) / factor))
        return (Mapped(matrix, (down * self.shift * h, right * self.shift * w), fill_value(self.fill, image, context.space)),)
