"""The squared length of the image, as a penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import NOT_NEGATIVE, Fields, Number, Penalty, StepContext, at


@dataclass(frozen=True)
class L2(Penalty):
    r"""Subtract the squared L2 norm of the image, weighted.

    .. math:: R(x_n) = \lambda \sum_{c, y, x} x_{n, c, y, x}^2

    in the net's input space, where 0 is the mean colour: what the objective does not ask for fades to it.

    Parameters
    ----------
    weight : float or Schedule
        λ, at least 0, in units of the objective per squared grey level. Larger values give greyer images; with 224 x 224
        pixels and scores about 10, 1e-6 to 1e-4 is a usual range.

    References
    ----------
    .. [1] Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", 2014, section 2, equation 1.

    Examples
    --------
    >>> import torch
    >>> L2(0.5)(torch.full((1, 1, 2, 3), 2.0))
    tensor([12.])
    """

    examples: ClassVar = ("l2(0.3)", "l2(Linear(0.3, 0.1))")

    weight: Number

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("weight", NOT_NEGATIVE)

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return λ times each item's sum of squares."""
        return at(self.weight, context) * image.square().flatten(1).sum(1)
