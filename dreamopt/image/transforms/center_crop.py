"""The middle of the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.image.draw import Side, check_size, target_size
from dreamopt.image.moves import Moves, Window
from dreamopt.image.moving import Moving
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class CenterCrop(Moving):
    """Cut out the middle; a side that is shorter already stays (`CropOrPad` fills it).

    Parameters
    ----------
    height, width : int or "net", optional
        Of the middle, at least 1; a square without ``width``, the searched image's size without both.

    Examples
    --------
    >>> import torch
    >>> CenterCrop(1, 2)(torch.tensor([[[[1.0, 2.0, 3.0, 4.0, 5.0]]]]), [Stream(0, 0)])
    tensor([[[[2., 3.]]]])
    """

    examples: ClassVar[tuple[str, ...]] = (
        "center_crop()",
        "center_crop(3)",
        "center_crop(3, 4)",
    )
    identity: ClassVar[str] = "center_crop()"

    height: Side = None
    width: int | None = None

    def __post_init__(self) -> None:
        check_size(self)

    def moves(self, image: Tensor, stream: Stream, context: StepContext) -> Moves:
        """Return the middle."""
        sides = image.shape[2:]
        h, w = (min(asked, side) for asked, side in zip(target_size(self.height, self.width, image, context), sides, strict=True))
        return (Window((sides[0] - h) // 2, (sides[1] - w) // 2, h, w),) if (h, w) != tuple(sides) else ()
