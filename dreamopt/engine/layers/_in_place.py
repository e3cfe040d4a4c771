"""The way some of Caffe's layers fail when they run in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def broken_in_place(f: Callable[[Tensor], Tensor], derivative: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return f(x) with the gradient of Caffe's Power and Log where top and bottom are one blob.

    Their backward pass finds y where it expects x; and it writes the derivative d over the top's diff before it multiplies
    by that, so that the bottom's diff is ``d d`` whatever the top's was.
    """
    y: Tensor = _Broken.apply(x, f, derivative)  # type: ignore[no-untyped-call]
    return y


class _Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Callable[[Tensor], Tensor], derivative: Callable[[Tensor], Tensor]) -> Tensor:
        y = f(x).clone()
        ctx.save_for_backward(y)
        ctx.derivative = derivative
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (y,) = ctx.saved_tensors
        return ctx.derivative(y).square(), None, None
