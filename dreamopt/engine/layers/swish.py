"""Swish."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Elementwise


class Swish(Elementwise):
    """``y = x / (1 + exp(-beta x))``.

    References
    ----------
    Caffe, src/caffe/layers/swish_layer.cpp, SwishLayer.
    """

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return x * torch.sigmoid(x * self.param.swish_param.beta)
