"""Layer-wise relevance propagation, the flat rule."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.engine.linear_map import LinearMap
from dreamopt.engine.relevance import RelevanceRule, over_sum, share


@dataclass(frozen=True)
class Flat(RelevanceRule):
    r"""LRP's flat rule, for a first layer: each value that a sum reads has the same share.

    .. math:: R_i = \sum_j \frac{1}{\sum_k 1} R_j

    over the values k that output j reads, those of the padding left out. Weights and bias do not count. What layers without weights do
    is said in `dreamopt.engine.relevance`.

    References
    ----------
    .. [1] S. Lapuschkin et al., Unmasking Clever Hans Predictors and Assessing What Machines Really Learn, 2019, methods.

    Examples
    --------
    >>> str(Flat())
    'Flat()'
    """

    examples: ClassVar[tuple[str, ...]] = ("flat()",)

    @property
    def additive(self) -> bool:
        """What lies beyond an image's border takes no part, and a tile does not know where that is."""
        return False

    def share_linear(self, layer: LinearMap, x: Tensor, grad: Tensor) -> Tensor:
        """Return the bottom's relevance."""
        return share(layer, [(torch.ones_like(x), torch.ones_like(layer.kernel), None)], lambda z: over_sum(grad, z))
