"""LayerCAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from dreamopt.attribution.cam import Cam


@dataclass(frozen=True)
class Layercam(Cam):
    r"""Where a layer has what would raise the score: its values times the positive part of their gradients.

    .. math:: M_p = \max\Big(0, \sum_k \max\Big(0, \frac{\partial s}{\partial A_{kp}}\Big) A_{kp}\Big)

    over the channels k of the layer's map A, then scaled to the image, linear between places. Made for lower layers too, whose finer
    maps Grad-CAM's averaged weights do not suit.

    Parameters
    ----------
    layer : str or tuple of str, optional
        Whose maps; the name of an in-place ReLU means the value after it. By default the highest layer with a map below the objective. Of
        several layers the maps, each divided by its largest absolute value, are averaged.
    relu : bool
        Cut the sum at 0 from below, as published; it has values below 0 only where the layer's own have.

    References
    ----------
    .. [1] Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", 2021.

    Examples
    --------
    >>> print(Layercam(layer=("relu3_3", "relu5_3")))
    layercam(layer=("relu3_3", "relu5_3"))
    """

    examples: ClassVar[tuple[str, ...]] = ("layercam()", "layercam(relu=False)")

    def combined(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return the maps times the positive part of their gradients."""
        return (functional.relu(gradients) * activations).sum(1, keepdim=True)
