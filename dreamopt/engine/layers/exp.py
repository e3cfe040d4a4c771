"""Exp."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Elementwise, Example, Shape, Weight


class Exp(Elementwise):
    """``y = base ^ (shift + scale x)``; a ``base`` of -1 is e.

    References
    ----------
    Caffe, src/caffe/layers/exp_layer.cpp, ExpLayer.
    """

    examples = (Example("exp_param { base: 2 scale: 0.5 shift: 0.3 }"),)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the base."""
        base = self.param.exp_param.base
        if base != -1 and base <= 0:
            self.fail(f"base is {base:g}; allowed is above 0, or -1 for e")
        return ()

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        p = self.param.exp_param
        return torch.exp(x * (self.log_base() * p.scale) + self.log_base() * p.shift)

    def log_base(self) -> float:
        """Return the base's natural logarithm."""
        base: float = self.param.exp_param.base
        return 1.0 if base == -1 else math.log(base)

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Differentiate by the top."""
        return grad * y * (self.log_base() * self.param.exp_param.scale)
