"""The middle of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.image.draw import Side, check_size, target_size
from dreamopt.image.transform import Transform
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class CenterCrop(Transform):
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

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return the middles."""
        h, w = (min(asked, side) for asked, side in zip(target_size(self.height, self.width, image, context), image.shape[2:], strict=True))
        top, left = (image.shape[2] - h) // 2, (image.shape[3] - w) // 2
        return image[:, :, top : top + h, left : left + w]
