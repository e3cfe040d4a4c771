"""The image is mirrored, or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.image.per_sample import samples_of, stacked
from dreamopt.image.transform import Transform
from dreamopt.parts.checks import FRACTION, Fields
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
    >>> import torch
    >>> Flip(1)(torch.tensor([[[[1.0, 2.0, 3.0]]]]), [Stream(0, 0)])
    tensor([[[[3., 2., 1.]]]])
    """

    examples: ClassVar[tuple[str, ...]] = (
        "flip()",
        'flip(0.3, "vertical")',
        'flip(axes="both")',
    )
    random: ClassVar[bool] = True
    identity: ClassVar[str] = "flip(0)"

    probability: float = 0.5
    axes: str = "horizontal"

    def __post_init__(self) -> None:
        Fields(self).number("probability", FRACTION).choice("axes", ("horizontal", "vertical", "both"))

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return each item, mirrored or not."""
        flipped = []
        for one, stream in zip(samples_of(image), streams, strict=True):
            down, right = (value < self.probability for value in stream.uniform("flip", 0, 1, 2))
            dims = [d for d, does in ((1, down and self.axes != "horizontal"), (2, right and self.axes != "vertical")) if does]
            flipped.append(one.flip(dims) if dims else one)
        return stacked(flipped)
