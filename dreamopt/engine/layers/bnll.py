"""BNLL."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Elementwise


class BNLL(Elementwise):
    """``y = log(1 + exp(x))``.

    In place, Caffe takes the derivative at y instead of x, and so does this layer.

    References
    ----------
    Caffe, src/caffe/layers/bnll_layer.cpp, BNLLLayer.
    """

    reads_overwritten_bottom = True

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return torch.nn.functional.softplus(x, threshold=50)
