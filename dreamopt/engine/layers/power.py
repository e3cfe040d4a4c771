"""Power."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Elementwise, Example


class Power(Elementwise):
    """``y = (shift + scale x) ^ power``.

    In place, Caffe's backward pass is broken, and `Net.backward` gives its numbers all the same: the bottom's diff is the
    square of the derivative at y, whatever the top's diff was. A program's gradient is the derivative.

    References
    ----------
    Caffe, src/caffe/layers/power_layer.cpp, PowerLayer.
    """

    examples = (Example("power_param { power: 3 scale: 0.5 shift: 2 }"), Example("power_param { power: 2 }"))

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        p = self.param.power_param
        if p.power == 0 or p.scale == 0:
            return x * 0 + (1.0 if p.power == 0 else p.shift**p.power)
        inner = x if p.scale == 1 else x * p.scale
        if p.shift != 0:
            inner = inner + p.shift
        if p.power in (1, 2):
            return inner if p.power == 1 else inner * inner
        return torch.pow(inner, p.power)

    @property
    def is_affine(self) -> bool:
        """Whether the power is 1."""
        return self.param.power_param.power == 1

    def affine(self, bottom: Callable[[], Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the scale and the shift."""
        x = bottom()
        return x.new_tensor(self.param.power_param.scale), x.new_tensor(self.param.power_param.shift)

    def caffe(self) -> CaffeTraits:
        """Say that the derivative is taken at the bottom."""
        return CaffeTraits(in_place_breaks_gradient=True)

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Differentiate by bottom and top; in place, Caffe's derivative overwrites the top's diff."""
        p = self.param.power_param
        factor = p.power * p.scale
        inner = x * p.scale + p.shift
        derivative = inner * factor if p.power == 2 else y / inner * factor
        if factor == 0 or p.power == 1:
            derivative = torch.full_like(x, factor)
        return derivative * (derivative if self.in_place else grad)
