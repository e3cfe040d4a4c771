"""Values outside a range of grey levels are cut to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import Fields, Number, Projection, Range, StepContext, at, colour_tensor, require_places


@dataclass(frozen=True)
class RangeClip(Projection):
    r"""Cut every value to a range of grey levels.

    .. math:: x \leftarrow \min(\max(x, k(l)), k(h))

    with k(v) the input of grey level v: black at 0, white at 255. Pixels are held between black and white anyway; this is for
    narrower ranges, and for other parametrizations.

    Parameters
    ----------
    low, high : float or Schedule
        l and h, 0-255, l below h. A narrower range gives flatter images.

    Examples
    --------
    >>> from dreamopt.regularizer import ImageSpace
    >>> space = ImageSpace((1, 1, 2), torch.tensor(-100.0).reshape(1, 1, 1), torch.tensor(155.0).reshape(1, 1, 1), 1.0, torch.zeros(()))
    >>> RangeClip(50, 200)(torch.tensor([[[[-99.0, 120.0]]]]), StepContext(space=space))
    tensor([[[[-50., 100.]]]])
    """

    examples: ClassVar = ("range_clip(50, 200)", "range_clip(Linear(90, 0), Linear(160, 255))")
    needs_start: ClassVar = False
    needs_gradient: ClassVar = False

    low: Number = 0.0
    high: Number = 255.0

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("low", Range(0, 255)).scheduled("high", Range(0, 255))
        plain = isinstance(self.low, int | float) and isinstance(self.high, int | float)
        if plain and not at(self.low, StepContext()) < at(self.high, StepContext()) <= 255:
            raise RegularizerError(f"low and high of RangeClip must rise within 0 to 255, not {self.low} and {self.high}")

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the image cut to the range."""
        require_places(self, image)
        low, high = (colour_tensor(at(level, context), image, context.space) for level in (self.low, self.high))
        return torch.clamp(image, torch.minimum(low, high), torch.maximum(low, high))
