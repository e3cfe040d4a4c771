"""Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.cam import Cam


@dataclass(frozen=True)
class GradCam(Cam):
    r"""Where a layer has what speaks for the score: its channels' maps, each weighted by the score's mean gradient there.

    .. math:: M = \max\Big(0, \sum_k w_k A_k\Big), \quad w_k = \frac{1}{|P|} \sum_{p \in P} \frac{\partial s}{\partial A_{kp}}

    over the places p of the layer's map A, then scaled to the image, linear between places. In scores: where global average pooling and
    a linear classifier follow the layer, the signed map is Zhou's CAM divided by the number of places, and before it is scaled its sum
    is the score without the bias.

    The score is the logit, or whatever else is aimed at. The ports to Caffe begin elsewhere: at 1 for the class on the Softmax's output
    (so that what speaks for other classes counts too), or at the predicted value; and the original sums over the places instead of
    averaging, which is a factor. `Attribution.explains` says what the score was.

    Parameters
    ----------
    layer : str or tuple of str, optional
        Whose maps; the name of an in-place ReLU means the value after it. By default the highest layer with a map below the objective:
        relu5_3 of VGG16, relu5 of AlexNet, inception_5b/output of GoogLeNet. Of several layers the maps, each divided by its largest
        absolute value, are averaged.
    relu : bool
        Cut the sum at 0 from below, as published; without, values below 0 speak against the score.

    References
    ----------
    .. [1] Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017.
    .. [2] Zhou et al., "Learning Deep Features for Discriminative Localization", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from dreamopt import attribute, load_net
    >>> found = attribute(load_net(), np.full((50, 70, 3), 90), "scores:3", method="grad_cam")
    >>> found.array.shape, found.facts["layer"]
    ((96, 96), 'mixed5')
    """

    examples: ClassVar[tuple[str, ...]] = ("grad_cam()", "grad_cam(relu=False)", 'grad_cam(layer=("norm", "pool1"))')

    def combined(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return the maps weighted by their gradients' mean over places."""
        weights = gradients.flatten(2).mean(2)
        return (weights[(...,) + (None,) * (activations.dim() - 2)] * activations).sum(1, keepdim=True)
