"""A high power of the image's values, as a penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import NOT_NEGATIVE, POSITIVE, Fields, Number, Penalty, Range, StepContext, at, require_places


@dataclass(frozen=True)
class AlphaNorm(Penalty):
    r"""Subtract the α-norm of the image, without its root, weighted.

    .. math:: R(x_n) = \lambda \sum_{c, y, x} \Bigl| \frac{x_{n, c, y, x}}{s} \Bigr|^\alpha

    For a large α it is a soft wall: nothing inside \|x\| < s, very much outside, which keeps colours in a natural range.
    With ``colour`` the wall is round in colour space, and the values of a pixel share one norm:

    .. math:: R(x_n) = \lambda \sum_{y, x} \Bigl( \frac{1}{s^2} \sum_c x_{n, c, y, x}^2 \Bigr)^{\alpha / 2}

    Parameters
    ----------
    weight : float or Schedule
        λ, at least 0, in units of the objective. Larger values give less contrast.
    alpha : float
        α, at least 1. Larger values make the wall steeper.
    scale : float
        s, above 0, in the net's input space: where the wall stands. 1 is the plain sum (Mahendran and Vedaldi's first paper,
        whose λ_α σ^-2 / 2 is the weight here), 80 grey levels their second paper's usual pixel (with ``colour`` and ``mean``).
    mean : bool
        Divide by C H W, with ``colour`` by H W, so that one weight fits every size.
    colour : bool
        Take each pixel's colour as a vector.

    References
    ----------
    .. [1] Mahendran, Vedaldi, "Understanding Deep Image Representations by Inverting Them", 2015, section 2.1.
    .. [2] Mahendran, Vedaldi, "Visualizing Deep Convolutional Neural Networks Using Natural Pre-Images", 2016, section 3.2.1.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[[[3.0, 0.0]], [[4.0, 2.0]]]])
    >>> AlphaNorm(1.0, alpha=3)(x), AlphaNorm(1.0, alpha=3, colour=True)(x)
    (tensor([99.]), tensor([133.]))
    """

    examples: ClassVar = (
        "alpha_norm(0.3, scale=10)",
        "alpha_norm(0.3, alpha=1.5, scale=20)",
        "alpha_norm(0.3, alpha=3, scale=20, mean=True, colour=True)",
    )

    weight: Number
    alpha: float = 6.0
    scale: float = 1.0
    mean: bool = False
    colour: bool = False

    def __post_init__(self) -> None:
        fields = Fields(self, RegularizerError).scheduled("weight", NOT_NEGATIVE)
        fields.number("alpha", Range(low=1)).number("scale", POSITIVE).flag("mean", "colour")

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return λ times each item's sum of powers."""
        part = image / self.scale
        if self.colour:
            require_places(self, image)
            square = part.square().sum(1)
            # The root of 0 has no slope; where it is 0 the power's is 0 too.
            black = square == 0
            powers = square.masked_fill(black, 1.0).pow(self.alpha / 2).masked_fill(black, 0.0).flatten(1)
        else:
            powers = part.abs().pow(self.alpha).flatten(1)
        return at(self.weight, context) * (powers.mean(1) if self.mean else powers.sum(1))
