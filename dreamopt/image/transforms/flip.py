"""The image is mirrored, or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.transform import Transform
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Flip(Transform):
    """Mirror the image with some probability.

    Parameters
    ----------
    probability : float
        0 (never) to 1 (always), for each axis by itself.
    axes : str
        "horizontal" (left becomes right), "vertical" (upside down), or "both".

    References
    ----------
    .. [1] deel-ai/xplique, ``features_visualizations/transformations.py``, ``random_flip``.

    Examples
    --------
    >>> Flip(1)(torch.tensor([[[[1.0, 2.0, 3.0]]]]), [Stream(0, 0)])
    tensor([[[[3., 2., 1.]]]])
    """

    probability: float = 0.5
    axes: str = "horizontal"

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise UsageError(f"the probability of Flip must be from 0 to 1, not {self.probability}")
        if self.axes not in ("horizontal", "vertical", "both"):
            raise UsageError(f"the axes of Flip must be horizontal, vertical or both, not {self.axes!r}")

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return each item, mirrored or not."""
        flipped = []
        for one, stream in zip(image, streams, strict=True):
            down, right = (value < self.probability for value in stream.uniform("flip", 0, 1, 2))
            dims = [d for d, does in ((1, down and self.axes != "horizontal"), (2, right and self.axes != "vertical")) if does]
            flipped.append(one.flip(dims) if dims else one)
        return torch.stack(flipped)
