"""Sigmoid."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Elementwise, Example


class Sigmoid(Elementwise):
    """``y = 1 / (1 + exp(-x))``.

    References
    ----------
    Caffe, src/caffe/layers/sigmoid_layer.cpp, SigmoidLayer.
    """

    examples = (Example(),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return torch.sigmoid(x)

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Differentiate by the top."""
        return grad * y * (1 - y)
