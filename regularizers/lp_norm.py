"""The p-norm of the image, with its root, as a penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import NOT_NEGATIVE, POSITIVE, Fields, Number, Penalty, Range, StepContext, at


@dataclass(frozen=True)
class LpNorm(Penalty):
    r"""Subtract the p-norm of the image, weighted.

    .. math:: R(x_n) = \lambda \Bigl[ \Bigl( \epsilon + \sum_{c, y, x} |x_{n, c, y, x}|^p \Bigr)^{1/p} - \epsilon^{1/p} \Bigr]

    Because of the root its pull does not grow with the image: far from the mean it is as strong as near it. `AlphaNorm` is
    the same without the root.

    Parameters
    ----------
    weight : float or Schedule
        λ, at least 0, in units of the objective per grey level. Larger values give a greyer image.
    p : float
        At least 1. 2 is Lucid's L2; a larger one looks at the extreme values only.
    mean : bool
        Divide the sum by C H W: the root mean square for p = 2 (Xplique's ``l2_reg``), tf-keras-vis' Norm for any p.
    floor : float
        ε, above 0: at 0 the root has no slope. 1e-6 is Lucid's.

    References
    ----------
    .. [1] tensorflow/lucid, ``optvis/objectives.py``, ``L2``.

    Examples
    --------
    >>> import torch
    >>> LpNorm(2.0, floor=1e-12)(torch.tensor([[[[3.0, 4.0]]]]))
    tensor([10.0000])
    """

    examples: ClassVar = ("lp_norm(0.3)", "lp_norm(0.3, p=1, mean=True)", "lp_norm(0.3, p=6, floor=1e-3)")

    weight: Number
    p: float = 2.0
    mean: bool = False
    floor: float = 1e-6

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("weight", NOT_NEGATIVE).number("p", Range(low=1)).number("floor", POSITIVE).flag("mean")

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return λ times each item's norm."""
        powers = image.abs().pow(self.p).flatten(1)
        total = powers.mean(1) if self.mean else powers.sum(1)
        return at(self.weight, context) * ((self.floor + total).pow(1 / self.p) - float(self.floor ** (1 / self.p)))
