"""The image is scaled to a size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.image.draw import Side, check_size, target_size
from dreamopt.image.per_sample import samples_of, stacked
from dreamopt.image.resample import resample
from dreamopt.image.transform import Transform
from dreamopt.parts.checks import Fields
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Resize(Transform):
    """Scale the whole image to a size, bilinear.

    Parameters
    ----------
    height, width : int or "net", optional
        At least 1; a square without ``width``, the searched image's size without both.
    antialias : bool
        Average over all pixels that fall into one where the image shrinks; without it, some are skipped and get no gradient.

    Examples
    --------
    >>> import torch
    >>> Resize(1, 2)(torch.tensor([[[[0.0, 2.0, 4.0, 8.0]]]]), [Stream(0, 0)])
    tensor([[[[1.4286, 5.4286]]]])
    """

    examples: ClassVar[tuple[str, ...]] = (
        "resize()",
        "resize(3, 9)",
        "resize(11, antialias=False)",
    )
    identity: ClassVar[str] = "resize()"

    height: Side = None
    width: int | None = None
    antialias: bool = True

    def __post_init__(self) -> None:
        check_size(self)
        Fields(self).flag("antialias")

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return the images at their new size."""
        h, w = image.shape[2:]
        size = target_size(self.height, self.width, image, context)
        if (h, w) == size:
            return image
        return stacked([resample(one, (0, 0, h, w), size, outside=None, antialias=self.antialias) for one in samples_of(image)])
