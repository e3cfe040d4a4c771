"""Values near the mean become the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import PERCENT, Fields, Number, Periodic, StepContext, at, percentile


@dataclass(frozen=True)
class SmallValue(Periodic):
    r"""Set the smallest values of the image to 0, the mean, each channel of a pixel for itself.

    .. math:: x_i \leftarrow 0 \quad \text{where} \quad |x_i| < \mathrm{percentile}_\theta(|x|)

    the percentile over all values of each item. `SmallNorm` decides by pixel and so makes no new colours.

    Parameters
    ----------
    percentile : float or Schedule
        θ, 0 (nothing) to 100. Larger values leave fewer values.
    every : int
        Act at steps 0, ``every``, 2 ``every``, ...; at least 1.

    References
    ----------
    .. [1] yosinski/deep-visualization-toolbox, ``optimize/gradient_optimizer.py``, ``small_val_percentile``.

    Examples
    --------
    >>> SmallValue(50)(torch.tensor([[[[1.0, -5.0]], [[2.0, 3.0]]]]))
    tensor([[[[ 0., -5.]],
    <BLANKLINE>
             [[ 0.,  3.]]]])
    """

    examples: ClassVar = ("small_value(40)", "small_value(62.5, every=2)")

    percentile: Number
    every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, RegularizerError).scheduled("percentile", PERCENT)

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the image without its smallest values."""
        sizes = image.abs().flatten(1)
        least = percentile(sizes, at(self.percentile, context))
        return torch.where((sizes < least[:, None]).reshape(image.shape), 0.0, image)
