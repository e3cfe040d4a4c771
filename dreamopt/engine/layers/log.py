"""Log."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Elementwise, Shape, Weight
from dreamopt.engine.layers._in_place import broken_in_place


class Log(Elementwise):
    """``y = log_base(shift + scale x)``; a ``base`` of -1 is e.

    In place, Caffe's backward pass is broken, and this layer gives its numbers all the same: the bottom's diff is the
    square of the derivative at y, whatever the top's diff was.

    References
    ----------
    Caffe, src/caffe/layers/log_layer.cpp, LogLayer.
    """

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the base."""
        base = self.param.log_param.base
        if base != -1 and (base <= 0 or base == 1):
            self.fail(f"base is {base:g}; allowed is above 0 but 1, or -1 for e")
        return ()

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        if self.param.bottom[0] == self.param.top[0]:
            return broken_in_place(self.compute, self.derivative, x)
        return self.compute(x)

    def compute(self, x: Tensor) -> Tensor:
        """Compute the top from ``x``."""
        p = self.param.log_param
        return torch.log(x * p.scale + p.shift) * self.factor()

    def derivative(self, x: Tensor) -> Tensor:
        """Compute the derivative at ``x``."""
        p = self.param.log_param
        return self.factor() * p.scale / (x * p.scale + p.shift)

    def factor(self) -> float:
        """Return ``1 / log(base)``."""
        base = self.param.log_param.base
        return 1.0 if base == -1 else 1 / math.log(base)
