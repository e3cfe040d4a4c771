"""BNLL."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Elementwise, Example


class BNLL(Elementwise):
    """``y = log(1 + exp(x))``.

    In place, Caffe takes the derivative at y instead of x, and so does this layer.

    References
    ----------
    Caffe, src/caffe/layers/bnll_layer.cpp, BNLLLayer.
    """

    examples = (Example(),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return torch.nn.functional.softplus(x, threshold=50)

    def caffe(self) -> CaffeTraits:
        """Say that the derivative is taken at the bottom."""
        return CaffeTraits(in_place_breaks_gradient=True)

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Differentiate by the bottom."""
        return grad * torch.sigmoid(x)
