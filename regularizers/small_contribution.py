"""Pixels that do little for the objective become the mean colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import PERCENT, Fields, Number, Periodic, StepContext, at, percentile, require_places


@dataclass(frozen=True)
class SmallContribution(Periodic):
    r"""Set the pixels that contribute least to the objective to 0, the mean colour.

    What the objective would change by if pixel (y, x) were set to 0 is, to first order,

    .. math:: b_{y, x} = \sum_c g_{c, y, x} \cdot (-x_{c, y, x})

    with g the objective's gradient at the image before the step. Set to 0 are pixels with \|b\| below its percentile, those
    that matter least; with ``signed`` those with b itself below it, which hold the objective up most.

    Parameters
    ----------
    percentile : float or Schedule
        θ, 0 (nothing) to 100, over the pixels of each item. Larger values leave fewer pixels; Yosinski et al. use 90.
    signed : bool
        Compare b, not \|b\|: the toolbox's ``px_benefit_percentile`` beside its ``px_abs_benefit_percentile``.
    every : int
        Act at steps 0, ``every``, 2 ``every``, ...; at least 1.

    References
    ----------
    .. [1] Yosinski, Clune, Nguyen, Fuchs, Lipson, "Understanding Neural Networks Through Deep Visualization", 2015,
       section 3, "Clipping pixels with small contribution".

    Examples
    --------
    >>> x = torch.tensor([[[[1.0, -5.0, 3.0]]]])
    >>> SmallContribution(50)(x, StepContext(gradient=torch.tensor([[[[9.0, 1.0, 2.0]]]])))
    tensor([[[[1., 0., 3.]]]])
    """

    examples: ClassVar = ("small_contribution(40)", "small_contribution(Linear(90, 10), signed=True)")

    percentile: Number
    signed: bool = False
    every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, RegularizerError).scheduled("percentile", PERCENT).flag("signed")

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the image without the pixels that matter least."""
        require_places(self, image)
        if context.gradient is None or context.gradient.shape != image.shape:
            raise RegularizerError(f"{self} needs the gradient of the step before it, which only a loop over images gives")
        benefit = (context.gradient * -image).sum(1)
        benefit = benefit if self.signed else benefit.abs()
        least = percentile(benefit.flatten(1), at(self.percentile, context))
        return torch.where((benefit < least.reshape(-1, *(1,) * (benefit.dim() - 1)))[:, None], 0.0, image)
