"""Layer-wise relevance propagation, the epsilon rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.engine.backward_rule import LINEAR, RECTIFIERS, BackwardRule, LayerPass, LayerTraits
from dreamopt.parts.checks import POSITIVE, Fields

_COPIES = (*RECTIFIERS, "Clip", "BNLL", "Sigmoid", "TanH", "Swish", "HSwish", "Mish", "Dropout", "LRN", "BatchNorm", "BN", "Scale", "Bias")


@dataclass(frozen=True)
class LrpEpsilon(BackwardRule):
    r"""LRP's epsilon rule: relevance in proportion to what each value contributes, small sums damped.

    .. math:: R_i = x_i \sum_j \frac{w_{ij} R_j}{z_j + \epsilon\, \mathrm{sign}(z_j)}, \quad \mathrm{sign}(0) = 1

    with z the layer's output, bias included, which takes its own share. What comes from above is relevance, not a gradient: seed a
    pass with the value that is explained (``(y * y.detach()).sum()`` for a unit y). Convolution, Deconvolution, InnerProduct, average
    pooling and sums of an Eltwise follow the formula; activations, LRN, BatchNorm, Scale, Bias and Dropout copy the relevance; every
    other layer keeps its own backward pass, max pooling to the winner.

    Parameters
    ----------
    epsilon : float
        Above 0, in the units of the layer's output.

    References
    ----------
    .. [1] S. Bach et al., On Pixel-Wise Explanations for Non-Linear Classifier Decisions by LRP, PLOS ONE 2015, equation 58.

    Examples
    --------
    >>> str(LrpEpsilon(0.1))
    'LrpEpsilon(epsilon=0.1)'
    """

    examples: ClassVar[tuple[str, ...]] = ("lrp_epsilon()", "lrp_epsilon(0.25)")

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        Fields(self).number("epsilon", POSITIVE)

    @property
    def additive(self) -> bool:
        """It shares out what comes from above, each place by itself."""
        return True

    def applies_to(self, layer: LayerTraits) -> bool:
        """Return whether it is linear, a mean, a sum, or copies relevance."""
        sums = layer.type in LINEAR or (layer.type, layer.operation) in (("Pooling", "AVE"), ("Eltwise", "SUM"))
        return sums or layer.type in _COPIES

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return the relevance of each bottom."""
        if layer.type in _COPIES:
            return [grad[0], *[None] * (len(x) - 1)]
        damped = y[0] + torch.where(y[0] < 0, -self.epsilon, self.epsilon)
        found = layer.gradient([grad[0] / damped])
        return [None if share is None else x[k] * share for k, share in enumerate(found)]
