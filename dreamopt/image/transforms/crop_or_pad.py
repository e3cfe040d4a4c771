"""The image is brought to a size without scaling it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.image.colour import checked_colour
from dreamopt.image.draw import Side, check_size, target_size
from dreamopt.image.moves import Moves, Window
from dreamopt.image.moving import Moving
from dreamopt.image.transform import Fill, fill_value
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class CropOrPad(Moving):
    """Cut the middle out of a longer side, put a shorter one in the middle of a frame.

    Last in a list of transforms that change the size, it gives nets with fully connected layers what they need.

    Parameters
    ----------
    height, width : int or "net", optional
        At least 1; a square without ``width``, the searched image's size without both.
    fill : str, float or tuple
        Of the frame: "mean", "black", "grey", "white", a grey level 0-255, or (red, green, blue).

    References
    ----------
    .. [1] tensorflow/lucid, ``optvis/transform.py``, ``crop_or_pad_to``.

    Examples
    --------
    >>> import torch
    >>> CropOrPad(1, 5)(torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]), [Stream(0, 0)])
    tensor([[[[0., 1., 2., 0., 0.]],
    <BLANKLINE>
             [[0., 3., 4., 0., 0.]]]])
    """

    examples: ClassVar[tuple[str, ...]] = (
        "crop_or_pad()",
        'crop_or_pad(7, 4, "white")',
        "crop_or_pad(3)",
    )
    identity: ClassVar[str] = "crop_or_pad()"

    height: Side = None
    width: int | None = None
    fill: Fill = "mean"

    def __post_init__(self) -> None:
        check_size(self)
        object.__setattr__(self, "fill", checked_colour(self.fill))

    def moves(self, image: Tensor, stream: Stream, context: StepContext) -> Moves:
        """Return the window with the image in its middle."""
        h, w = image.shape[2:]
        height, width = target_size(self.height, self.width, image, context)
        if (h, w) == (height, width):
            return ()
        top, left = (max(0, side - asked) // 2 - max(0, asked - side) // 2 for side, asked in zip((h, w), (height, width), strict=True))
        return (Window(top, left, height, width, fill_value(self.fill, image, context.space)),)
