"""Layer-wise relevance propagation, the z+ rule."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.linear_map import LinearMap
from dreamopt.engine.relevance import RelevanceRule, over_sum, share, signed_terms


@dataclass(frozen=True)
class ZPlus(RelevanceRule):
    r"""LRP's z+ rule: only what raises a value has relevance.

    .. math:: R_i = \sum_j \frac{(x_i w_{ij})^+}{\sum_k (x_k w_{kj})^+ + b_j^+} R_j

    That is alpha_beta(1, 0): a positive bias takes its share. The denominator is damped as in `epsilon`, by 1e-6. What layers without
    weights do is said in `dreamopt.engine.relevance`.

    References
    ----------
    .. [1] G. Montavon et al., Explaining NonLinear Classification Decisions with Deep Taylor Decomposition, 2017, equation 12.

    Examples
    --------
    >>> str(ZPlus())
    'ZPlus()'
    """

    examples: ClassVar[tuple[str, ...]] = ("z_plus()",)

    def share_linear(self, layer: LinearMap, x: Tensor, grad: Tensor) -> Tensor:
        """Return the bottom's relevance."""
        return share(layer, signed_terms(layer, x, False), lambda z: over_sum(grad, z))
