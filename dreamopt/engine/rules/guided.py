"""Guided backpropagation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.backward_rule import BackwardRule, LayerPass, LayerTraits, ReLUPass


@dataclass(frozen=True)
class Guided(BackwardRule):
    r"""ReLUs pass on what is positive from above, where they are open: :math:`g_x = f'(x) \max(g, 0)`.

    With f the layer's own function: for a ReLU, the gradient where both it and x are positive. For ReLU of any slope, ReLU6, PReLU
    and ELU.

    References
    ----------
    .. [1] J. Springenberg et al., Striving for Simplicity: The All Convolutional Net, 2015, section 3.4.

    Examples
    --------
    >>> str(Guided())
    'Guided()'
    """

    examples: ClassVar[tuple[str, ...]] = ("guided()",)

    @property
    def is_local(self) -> bool:
        """It looks at the gradient of each place."""
        return True

    @property
    def at_relu(self) -> ReLUPass:
        """What `apply` does there."""
        return ReLUPass(positive=True)

    def applies_to(self, layer: LayerTraits) -> bool:
        """Return whether it is a ReLU of some kind."""
        return layer.is_rectifier

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return the layer's own backward pass of the positive part of the gradient."""
        return layer.gradient([grad[0].clamp(min=0)])
