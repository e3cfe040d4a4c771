"""Deconvnet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.backward_rule import BackwardRule, LayerPass, LayerTraits, ReLUPass


@dataclass(frozen=True)
class Deconvnet(BackwardRule):
    r"""ReLUs pass on what is positive from above, whatever they read: :math:`g_x = \max(g, 0)`.

    For ReLU of any slope, ReLU6, PReLU and ELU. Every other layer passes its gradient on, max pooling to the winner.

    References
    ----------
    .. [1] M. Zeiler, R. Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 2.1.

    Examples
    --------
    >>> str(Deconvnet())
    'Deconvnet()'
    """

    examples: ClassVar[tuple[str, ...]] = ("deconvnet()",)

    @property
    def at_relu(self) -> ReLUPass:
        """What `apply` does there."""
        return ReLUPass(positive=True, masked=False)

    def applies_to(self, layer: LayerTraits) -> bool:
        """Return whether it is a ReLU of some kind."""
        return layer.is_rectifier

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return the positive part of the gradient."""
        return [grad[0].clamp(min=0)]
