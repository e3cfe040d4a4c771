"""Pixels of little colour become the mean colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import PERCENT, Fields, Number, Periodic, StepContext, at, percentile, require_places


@dataclass(frozen=True)
class SmallNorm(Periodic):
    r"""Set the pixels with the smallest norms to 0, the mean colour.

    .. math:: x_{y, x} \leftarrow 0 \quad \text{where} \quad \|x_{y, x}\|_2 < \mathrm{percentile}_\theta(\|x\|_2)

    the norm over the colours of a pixel, the percentile over the pixels of each item. Only what differs most from the mean
    stays, so that the object stands on a plain ground.

    Parameters
    ----------
    percentile : float or Schedule
        θ, 0 (nothing) to 100. Larger values leave fewer pixels; Yosinski et al. use 20 and 50.
    every : int
        Act at steps 0, ``every``, 2 ``every``, ...; at least 1.

    References
    ----------
    .. [1] Yosinski, Clune, Nguyen, Fuchs, Lipson, "Understanding Neural Networks Through Deep Visualization", 2015,
       section 3, "Clipping pixels with small norm".

    Examples
    --------
    >>> SmallNorm(50)(torch.tensor([[[[1.0, -5.0, 3.0]]]]))
    tensor([[[[ 0., -5.,  3.]]]])
    """

    examples: ClassVar = ("small_norm(40)", "small_norm(Linear(90, 10), every=2)")

    percentile: Number
    every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, RegularizerError).scheduled("percentile", PERCENT)

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the image without its faintest pixels."""
        require_places(self, image)
        norms = image.square().sum(1).sqrt()
        least = percentile(norms.flatten(1), at(self.percentile, context))
        return torch.where((norms < least.reshape(-1, *(1,) * (norms.dim() - 1)))[:, None], 0.0, image)
