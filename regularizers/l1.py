"""The sum of absolute values of the image, as a penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import NOT_NEGATIVE, Fields, Number, Penalty, StepContext, at


@dataclass(frozen=True)
class L1(Penalty):
    r"""Subtract the L1 norm of the image, weighted.

    .. math:: R(x_n) = \lambda \sum_{c, y, x} |x_{n, c, y, x}|

    in the net's input space, where 0 is the mean colour. Unlike `L2` it pulls on small values as hard as on large ones, so
    that what the objective does not ask for becomes exactly the mean colour.

    Parameters
    ----------
    weight : float or Schedule
        λ, at least 0, in units of the objective per grey level. Larger values leave fewer pixels that differ from the mean.
    mean : bool
        Divide by C H W, so that one weight fits every size (Xplique's form).

    References
    ----------
    .. [1] Olah, Mordvintsev, Schubert, "Feature Visualization", Distill, 2017, "Frequency penalization".

    Examples
    --------
    >>> import torch
    >>> L1(0.5)(torch.full((1, 1, 2, 3), -2.0)), L1(0.5, mean=True)(torch.full((1, 1, 2, 3), -2.0))
    (tensor([6.]), tensor([1.]))
    """

    examples: ClassVar = ("l1(0.3)", "l1(Piecewise((0, 2), (0.3, 0.1)), mean=True)")

    weight: Number
    mean: bool = False

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("weight", NOT_NEGATIVE).flag("mean")

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return λ times each item's sum (or mean) of absolute values."""
        sizes = image.abs().flatten(1)
        return at(self.weight, context) * (sizes.mean(1) if self.mean else sizes.sum(1))
