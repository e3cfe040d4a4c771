"""Layer-wise relevance propagation, the gamma rule."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.engine.linear_map import LinearMap
from dreamopt.engine.relevance import RelevanceRule, damped, share, signed_terms
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
        found: Tensor | None = None
        for negative in (False, True):
            relevance = torch.where(top < 0 if negative else top > 0, grad, 0)
            if negative and not bool(relevance.any()):  # a ReLU above gives none to what it cuts off
                continue
            part = share(
                layer,
                signed_terms(x, layer.kernel, layer.bias, negative, self.gamma),
                lambda z, relevance=relevance: relevance / damped(z),  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            )
            found = part if found is None else found + part
        assert found is not None
        return found
