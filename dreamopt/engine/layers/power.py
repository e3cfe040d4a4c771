"""Power."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dreamopt.engine.layer import Elementwise


class Power(Elementwise):
    """``y = (shift + scale x) ^ power``.

    Caffe takes the derivative as ``scale power y / (shift + scale x)`` unless the power is 0, 1 or 2. In place, it finds y where
    it expects x, and so does this layer.

    References
    ----------
    Caffe, src/caffe/layers/power_layer.cpp, PowerLayer.
    """

    reads_overwritten_bottom = True

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        p = self.param.power_param
        if p.power == 0 or p.scale == 0:
            value = 1.0 if p.power == 0 else p.shift**p.power
            return x * 0 + value
        inner = x if p.scale == 1 else x * p.scale
        if p.shift != 0:
            inner = inner + p.shift
        if p.power in (1, 2):
            return inner if p.power == 1 else inner * inner
        if self.param.bottom[0] == self.param.top[0]:
            y: Tensor = _InPlace.apply(x, inner.detach(), p.power, p.power * p.scale)  # type: ignore[no-untyped-call]
            return y
        return inner**p.power


class _InPlace(torch.autograd.Function):
    """Caffe's derivative with both y and x read from one place, which the net has set to y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, inner: Tensor, power: float, factor: float) -> Tensor:
        ctx.save_for_backward(x, inner)
        ctx.factor = factor
        return inner**power

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, inner = ctx.saved_tensors
        return grads[0] * (ctx.factor * x / inner), None, None, None
