"""Layer-wise relevance propagation, the gamma rule."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.linear_map import LinearMap
from dreamopt.engine.relevance import RelevanceRule, damped, is_zero, share, signed_terms, where_positive
from dreamopt.parts.checks import Fields, Range


@dataclass(frozen=True)
class Gamma(RelevanceRule):
    r"""LRP's gamma rule: what raises a value counts 1 + gamma times, so that less is taken back.

    .. math:: R_i = \sum_{j: z_j > 0} \frac{x_i^+ (w_{ij} + \gamma w_{ij}^+) + x_i^- (w_{ij} + \gamma w_{ij}^-)}{\sum_k x_k^+ (w_{kj}
        + \gamma w_{kj}^+) + x_k^- (w_{kj} + \gamma w_{kj}^-) + b_j + \gamma b_j^+} R_j + \sum_{j: z_j < 0} \dots

    with z the layer's output; where it is below 0, the same with :math:`w^+` and :math:`w^-`, :math:`b^+` and :math:`b^-` in each
    other's place, what lowers the value counting more. Behind a ReLU, the fraction is :math:`x_i (w_{ij} + \gamma w_{ij}^+)` over its
    sum. The bias takes its share. Denominators are damped as in `epsilon`, by 1e-6. What layers without weights do is said in
    `dreamopt.engine.relevance`.

    Parameters
    ----------
    gamma : float
        0 is the epsilon rule; large values come to alpha_beta(1, 0).

    References
    ----------
    .. [1] G. Montavon et al., Layer-Wise Relevance Propagation: An Overview, 2019, section 10.2.1; for inputs of both signs:
       L. Andéol et al., Learning Domain Invariant Representations by Joint Wasserstein Distance Minimization, 2021, appendix.

    Examples
    --------
    >>> str(Gamma(0.1))
    'Gamma(gamma=0.1)'
    """

    examples: ClassVar[tuple[str, ...]] = ("gamma()", "gamma(0.5)")

    gamma: float = 0.25

    def __post_init__(self) -> None:
        Fields(self).number("gamma", Range(low=0))

    def share_linear(self, layer: LinearMap, x: Tensor, grad: Tensor) -> Tensor:
        """Return the bottom's relevance."""
        top = layer.top
        upper = where_positive(grad, top)
        lower = where_positive(grad - upper, -top) if not is_zero(grad - upper) else None

        def part(relevance: Tensor, negative: bool) -> Tensor:
            terms = signed_terms(layer, x, negative, self.gamma)
            return share(layer, terms, lambda z: relevance / damped(z))

        # A ReLU above gives nothing to what it cuts off.
        return part(upper, False) if lower is None else part(upper, False).add_(part(lower, True))
