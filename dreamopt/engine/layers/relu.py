"""ReLU."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.inplace import overwriting
from dreamopt.engine.layer import Elementwise


class ReLU(Elementwise):
    """``y = max(x, 0) + negative_slope min(x, 0)``; the derivative at 0 is ``negative_slope``.

    In place, Caffe looks for the sign of x in y; the two differ only where ``negative_slope`` is below 0.

    References
    ----------
    Caffe, src/caffe/layers/relu_layer.cpp, ReLULayer.
    """

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        slope = self.param.relu_param.negative_slope
        if slope == 0:
            return torch.relu(x)
        if slope < 0 and self.param.top[0] == self.param.bottom[0]:
            return overwriting(lambda t: torch.where(t > 0, t, t * slope), x)
        return torch.nn.functional.leaky_relu(x, slope)
