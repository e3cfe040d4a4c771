"""Layer-wise relevance propagation, the w^2 rule."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.engine.linear_map import LinearMap
from dreamopt.engine.relevance import RelevanceRule, over_sum, share


@dataclass(frozen=True)
class WSquared(RelevanceRule):
    r"""LRP's w² rule, for a first layer: relevance by the squared weights, whatever the values are.

    .. math:: R_i = \sum_j \frac{w_{ij}^2}{\sum_k w_{kj}^2 + b_j^2} R_j

    The bias takes its share, as in zennit. The denominator is damped as in `epsilon`, by 1e-6. What layers without weights do is said in
    `dreamopt.engine.relevance`.

    References
    ----------
    .. [1] G. Montavon et al., Explaining NonLinear Classification Decisions with Deep Taylor Decomposition, 2017, equation 11.

    Examples
    --------
    >>> str(WSquared())
    'WSquared()'
    """

    examples: ClassVar[tuple[str, ...]] = ("w_squared()",)

    @property
    def additive(self) -> bool:
        """What lies beyond an image's border takes no part, and a tile does not know where that is."""
        return False

    def share_linear(self, layer: LinearMap, x: Tensor, grad: Tensor) -> Tensor:
        """Return the bottom's relevance."""
        bias = layer.bias
        return share(layer, [(torch.ones_like(x), layer.kernel**2, None if bias is None else bias**2)], lambda z: over_sum(grad, z))
