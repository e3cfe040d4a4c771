"""ELU."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Elementwise


class ELU(Elementwise):
    """``y = x`` for x > 0, else ``alpha (exp(x) - 1)``.

    References
    ----------
    Caffe, src/caffe/layers/elu_layer.cpp, ELULayer.
    """

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return torch.nn.functional.elu(x, self.param.elu_param.alpha)
