"""Swish."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Elementwise, Example


class Swish(Elementwise):
    """``y = x / (1 + exp(-beta x))``.

    References
    ----------
    Caffe, src/caffe/layers/swish_layer.cpp, SwishLayer.
    """

    examples = (Example("swish_param { beta: 1.5 }"),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return x * torch.sigmoid(x * self.param.swish_param.beta)

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Differentiate by the top and the sigmoid of the bottom as it was."""
        top = y * self.param.swish_param.beta
        return grad * (top + torch.sigmoid(x_at_forward * self.param.swish_param.beta) * (1 - top))
