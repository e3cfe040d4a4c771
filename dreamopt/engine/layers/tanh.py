"""TanH."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Elementwise, Example


class TanH(Elementwise):
    """``y = tanh(x)``.

    References
    ----------
    Caffe, src/caffe/layers/tanh_layer.cpp, TanHLayer.
    """

    examples = (Example(),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return torch.tanh(x)

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Differentiate by the top."""
        return grad * (1 - y * y)
