"""Layer-wise relevance propagation, the alpha-beta rule."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.linear_map import LinearMap
from dreamopt.engine.relevance import RelevanceRule, over_sum, share, signed_terms
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
        raising = share(layer, signed_terms(x, layer.kernel, layer.bias, False), lambda z: over_sum(grad, z)).mul_(self.alpha)
        if self.beta == 0:
            return raising
        lowering = share(layer, signed_terms(x, layer.kernel, layer.bias, True), lambda z: over_sum(grad, z, -1))
        return raising.sub_(lowering, alpha=self.beta)
