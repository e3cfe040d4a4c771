"""BNLL."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.inplace import overwriting
from dreamopt.engine.layer import Elementwise


class BNLL(Elementwise):
    """``y = log(1 + exp(x))``.

    In place, Caffe takes the derivative at y instead of x, and so does this layer.

    References
    ----------
    Caffe, src/caffe/layers/bnll_layer.cpp, BNLLLayer.
    """

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return overwriting(_softplus, x) if self.param.bottom[0] == self.param.top[0] else _softplus(x)


def _softplus(x: Tensor) -> Tensor:
    return torch.nn.functional.softplus(x, threshold=50)
