"""Softmax."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import POINTWISE, Example, Layer, Reach, Shape
from dreamopt.engine.layers._axes import axis_of


class Softmax(Layer):
    """``y_i = exp(x_i - m) / sum_j exp(x_j - m)`` with ``m = max_j x_j``, along ``axis``.

    References
    ----------
    Caffe, src/caffe/layers/softmax_layer.cpp, SoftmaxLayer.
    """

    examples = (Example(),)

    def caffe(self) -> CaffeTraits:
        """Say that Caffe's backward pass does not look at ``propagate_down``."""
        return CaffeTraits(ignores_propagate_down=True)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check the axis."""
        axis_of(self, self.param.softmax_param.axis, bottoms[0])
        return [bottoms[0]]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that over channels each place depends on the one at its place."""
        return POINTWISE if self.param.softmax_param.axis in (1, -3) else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the top."""
        return [torch.softmax(bottoms[0], self.param.softmax_param.axis)]

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Differentiate by the top."""
        return y * (grad - (y * grad).sum(self.param.softmax_param.axis, keepdim=True))
