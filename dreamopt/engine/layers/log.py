"""Log."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Elementwise, Example, Shape, Weight


class Log(Elementwise):
    """``y = log_base(shift + scale x)``; a ``base`` of -1 is e.

    In place, Caffe's backward pass is broken, and this layer gives its numbers all the same: the bottom's diff is the
    square of the derivative at y, whatever the top's diff was.

    References
    ----------
    Caffe, src/caffe/layers/log_layer.cpp, LogLayer.
    """

    examples = (Example("log_param { base: 2 scale: 0.5 shift: 2 }"),)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the base."""
        base = self.param.log_param.base
        if base != -1 and (base <= 0 or base == 1):
            self.fail(f"base is {base:g}; allowed is above 0 but 1, or -1 for e")
        return ()

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        p = self.param.log_param
        return torch.log(x * p.scale + p.shift) * self.factor()

    def factor(self) -> float:
        """Return ``1 / log(base)``."""
        base = self.param.log_param.base
        return 1.0 if base == -1 else 1 / math.log(base)

    def caffe(self) -> CaffeTraits:
        """Say that the derivative is taken at the bottom."""
        return CaffeTraits(in_place_breaks_gradient=True)

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Differentiate by the bottom; in place, Caffe's derivative overwrites the top's diff."""
        p = self.param.log_param
        derivative = self.factor() * p.scale / (x * p.scale + p.shift)
        return derivative * (derivative if self.in_place else grad)
