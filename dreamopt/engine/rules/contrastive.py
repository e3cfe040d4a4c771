"""Contrastive excitation backpropagation."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.linear_map import LinearMap
from dreamopt.engine.relevance import quotient, share
from dreamopt.engine.rules.excitation import Excitation


@dataclass(frozen=True)
class Contrastive(Excitation):
    r"""Contrastive excitation backprop: what wins for a unit, less what would win for a unit that answers to the opposite.

    .. math:: P_i = x_i \sum_j \left( \frac{w_{ij}^+}{\sum_k w_{kj}^+ x_k} - \frac{w_{ij}^-}{\sum_k w_{kj}^- x_k} \right) P_j

    at the topmost linear layer with weights below what is asked for, :math:`w^- = \max(-w, 0)`: the difference of two passes, one with the
    layer's weights and one with their negatives. On down, the difference follows `excitation`.

    References
    ----------
    .. [1] J. Zhang et al., Top-down Neural Attention by Excitation Backprop, 2016, section 3.3.

    Examples
    --------
    >>> str(Contrastive())
    'Contrastive()'
    """

    examples: ClassVar[tuple[str, ...]] = ("contrastive()",)

    def share_linear(self, layer: LinearMap, x: Tensor, grad: Tensor) -> Tensor:
        """Return the bottom's probabilities; at the topmost layer their difference."""
        found = super().share_linear(layer, x, grad)
        if not layer.traits.is_topmost:
            return found
        return found - share(layer, [(x, (-layer.kernel).clamp(min=0), None)], lambda z: quotient(grad, z))
