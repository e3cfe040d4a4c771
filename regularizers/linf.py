"""The largest absolute value of the image, as a penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import NOT_NEGATIVE, Fields, Number, Penalty, StepContext, at


@dataclass(frozen=True)
class Linf(Penalty):
    r"""Subtract the largest absolute value of the image, weighted.

    .. math:: R(x_n) = \lambda \max_{c, y, x} |x_{n, c, y, x}|

    Only the most extreme value has a gradient (shared evenly where several are equal), so it trims peaks one at a time;
    `AlphaNorm` with a large power does the same softly.

    Parameters
    ----------
    weight : float or Schedule
        λ, at least 0, in units of the objective per grey level. Larger values trim more of the peaks.

    References
    ----------
    .. [1] Fel et al., "Xplique: A Deep Learning Explainability Toolbox", 2022 (``l_inf_reg``).

    Examples
    --------
    >>> import torch
    >>> Linf(0.5)(torch.tensor([[[[1.0, -3.0]]]]))
    tensor([1.5000])
    """

    examples: ClassVar = ("linf(0.3)",)

    weight: Number

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("weight", NOT_NEGATIVE)

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return λ times each item's largest absolute value."""
        return at(self.weight, context) * image.abs().flatten(1).amax(1)
