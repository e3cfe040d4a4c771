"""ELU."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Elementwise, Example


class ELU(Elementwise):
    """``y = x`` for x > 0, else ``alpha (exp(x) - 1)``.

    References
    ----------
    Caffe, src/caffe/layers/elu_layer.cpp, ELULayer.
    """

    examples = (Example("elu_param { alpha: 0.7 }"),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return torch.nn.functional.elu(x, self.param.elu_param.alpha)

    def caffe(self) -> CaffeTraits:
        """Say that with an alpha below 0, the top has not the bottom's sign."""
        return CaffeTraits(in_place_breaks_gradient=self.param.elu_param.alpha < 0)

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Differentiate by the top, and by the bottom's sign."""
        return torch.where(x > 0, grad, grad * (y + self.param.elu_param.alpha))
