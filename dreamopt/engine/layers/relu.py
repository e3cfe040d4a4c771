"""ReLU."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Elementwise, Example


class ReLU(Elementwise):
    """``y = max(x, 0) + negative_slope min(x, 0)``; the derivative at 0 is ``negative_slope``.

    In place, Caffe looks for the sign of x in y; the two differ only where ``negative_slope`` is below 0.

    References
    ----------
    Caffe, src/caffe/layers/relu_layer.cpp, ReLULayer.
    """

    examples = (Example(), Example("relu_param { negative_slope: 0.3 }"))

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        slope = self.param.relu_param.negative_slope
        if slope == 0:
            return torch.relu(x)
        return torch.nn.functional.leaky_relu(x, slope)

    def caffe(self) -> CaffeTraits:
        """Say that it is open above 0, unless there is a slope below; with one below 0, the top has not the bottom's sign."""
        slope = self.param.relu_param.negative_slope
        return CaffeTraits(active_range=(0.0, math.inf) if slope == 0 else None, in_place_breaks_gradient=slope < 0)

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Look for the sign in the bottom."""
        return torch.where(x > 0, grad, grad * self.param.relu_param.negative_slope)
