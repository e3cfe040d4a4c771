"""HiResCAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.cam import Cam


@dataclass(frozen=True)
class Hirescam(Cam):
    r"""What each place of a layer adds to the score: its values times their gradients.

    .. math:: M_p = \max\Big(0, \sum_k \frac{\partial s}{\partial A_{kp}} A_{kp}\Big)

    over the channels k of the layer's map A, then scaled to the image, linear between places. Where all above the layer is linear (one
    InnerProduct, average pooling), the signed map adds up to the score without its bias: exactly what each place contributed, which
    Grad-CAM's averaged weights are not.

    Parameters
    ----------
    layer : str or tuple of str, optional
        Whose maps; the name of an in-place ReLU means the value after it. By default the highest layer with a map below the objective. Of
        several layers the maps, each divided by its largest absolute value, are averaged.
    relu : bool
        Cut the sum at 0 from below, as published; without, values below 0 speak against the score.

    References
    ----------
    .. [1] Draelos, Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks", 2020.

    Examples
    --------
    >>> print(Hirescam(layer="conv5"))
    hirescam(layer="conv5")
    """

    examples: ClassVar[tuple[str, ...]] = ("hirescam()", "hirescam(relu=False)")

    def combined(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return the maps times their gradients."""
        return (gradients * activations).sum(1, keepdim=True)
