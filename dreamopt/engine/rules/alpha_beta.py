"""Layer-wise relevance propagation, the alpha-beta rule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.engine.backward_rule import LayerPass, RuledPass
from dreamopt.engine.linear_map import LinearMap
from dreamopt.engine.relevance import EPSILON, RelevanceRule, has_negative, over_sum, share, signed_part, signed_terms, sums
from dreamopt.errors import UsageError
from dreamopt.parts.checks import Fields, Range


@dataclass(frozen=True)
class AlphaBeta(RelevanceRule):
    r"""LRP's alpha-beta rule: what raises a value and what lowers it share relevance apart, alpha times and minus beta times.

    .. math:: R_i = \sum_j \left( \alpha \frac{(x_i w_{ij})^+}{\sum_k (x_k w_{kj})^+ + b_j^+} - \beta \frac{(x_i w_{ij})^-}{\sum_k (x_k
        w_{kj})^- + b_j^-} \right) R_j, \quad \alpha - \beta = 1

    The bias takes its share, by its own sign, as in zennit. Denominators are damped as in `epsilon`, by 1e-6; where nothing lowers a
    value, the relevance for it is lost. What layers without weights do is said in `dreamopt.engine.relevance`.

    Parameters
    ----------
    alpha, beta : float
        0 and more, with a difference of 1.

    References
    ----------
    .. [1] S. Bach et al., On Pixel-Wise Explanations for Non-Linear Classifier Decisions by LRP, PLOS ONE 2015, equation 60.

    Examples
    --------
    >>> str(AlphaBeta(3, 2))
    'AlphaBeta(alpha=3, beta=2)'
    """

    examples: ClassVar[tuple[str, ...]] = ("alpha_beta()", "alpha_beta(1, 0)", "alpha_beta(1.5, 0.5)")

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        Fields(self).number("alpha", Range(low=0)).number("beta", Range(low=0))
        if abs(self.alpha - self.beta - 1) > 1e-6:
            raise UsageError(f"alpha - beta of {type(self).__name__} must be 1, not {self.alpha:g} - {self.beta:g}")

    def share_linear(self, layer: LinearMap, x: Tensor, grad: Tensor) -> Tensor:
        """Return the bottom's relevance."""
        raising = share(layer, signed_terms(layer, x, False), lambda z: over_sum(grad, z)).mul_(self.alpha)
        if self.beta == 0:
            return raising
        lowering = share(layer, signed_terms(layer, x, True), lambda z: over_sum(grad, z, -1))
        return raising.sub_(lowering, alpha=self.beta)

    def run(self, layer: LayerPass, x: Sequence[Tensor]) -> RuledPass | None:
        """Compute what raises and what lowers each value, whose sum is the layer's output: one convolution less than computing that too.

        Each part is computed by itself: of the output less the other part, cancellation would leave few digits.
        """
        own = type(self).apply is RelevanceRule.apply and type(self).share_linear is AlphaBeta.share_linear
        if not own or self.beta == 0 or not layer.traits.is_linear or layer.behind:
            return None
        tops, backs = zip(*(self._parts(LinearMap(layer, (), k), bottom) for k, bottom in enumerate(x)), strict=True)
        return RuledPass(list(tops), lambda grads: [back(grad) for back, grad in zip(backs, grads, strict=True)])

    def _parts(self, layer: LinearMap, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        mixed = has_negative(x)
        if mixed:
            raising, raising_back = sums(layer, signed_terms(layer, x, False))
            lowering, lowering_back = sums(layer, signed_terms(layer, x, True))
        else:
            raising, raising_back = layer.run(x, *signed_part(layer, False))
            lowering, lowering_back = layer.run(x, *signed_part(layer, True))
        top = raising + lowering
        raising.add_(EPSILON)
        lowering.sub_(EPSILON)

        def back(grad: Tensor) -> Tensor:
            shares = raising_back(grad / raising).sub_(lowering_back(grad / lowering), alpha=self.beta / self.alpha)
            return shares.mul_(self.alpha) if mixed else torch.addcmul(x.new_zeros(()), x, shares, value=self.alpha)

        return top, back
