"""Deconvnet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.backward_rule import BackwardRule, LayerPass, LayerTraits, ReLUPass
from dreamopt.parts.checks import Fields


@dataclass(frozen=True)
class Deconvnet(BackwardRule):
    r"""ReLUs pass on what is positive from above, whatever they read: :math:`g_x = \max(g, 0)`.

    For ReLU of any slope, ReLU6, PReLU and ELU. Every other layer passes its gradient on, max pooling to the winner.

    Parameters
    ----------
    lrn : {"gradient", "copy", "normalize"}
        What an LRN layer passes on: the gradient, as without the rule; g as it is, as in the paper, which leaves contrast normalization
        out on the path back [1]_; or the layer's own function of g, which normalizes g by its own squares [2]_.

    References
    ----------
    .. [1] M. Zeiler, R. Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 2.1.
    .. [2] dsisds/caffe-visualization, ``src/caffe/layers/lrn_layer.cpp``, CrossChannelReconstruct_cpu.

    Examples
    --------
    >>> str(Deconvnet())
    'Deconvnet()'
    """

    examples: ClassVar[tuple[str, ...]] = ("deconvnet()", "deconvnet(lrn='copy')", "deconvnet(lrn='normalize')")

    lrn: str = "gradient"

    def __post_init__(self) -> None:
        Fields(self).choice("lrn", ("gradient", "copy", "normalize"))

    @property
    def is_local(self) -> bool:
        """It looks at the gradient around each place."""
        return True

    @property
    def at_relu(self) -> ReLUPass:
        """What `apply` does there."""
        return ReLUPass(positive=True, masked=False)

    def applies_to(self, layer: LayerTraits) -> bool:
        """Return whether it is a ReLU of some kind, or an LRN that is not to pass its gradient on."""
        return layer.is_rectifier or (layer.type == "LRN" and self.lrn != "gradient")

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return the positive part of the gradient, and at an LRN the gradient, normalized or not."""
        if layer.type == "LRN":
            return layer.forward(grad) if self.lrn == "normalize" else grad
        return [grad[0].clamp(min=0)]
