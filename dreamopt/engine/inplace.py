"""What running in place does to a gradient in Caffe.

A layer that writes its top over its bottom leaves its backward pass with the top alone. Most layers need no more (ReLU,
Sigmoid, TanH, Dropout, ...). A few read the bottom all the same (Power, AbsVal, Log, ...), find the top there, and take
the derivative at the wrong place; Caffe's numbers are wrong then, and ours are Caffe's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Overwritten(torch.autograd.Function):
    """y = f(x), whose backward pass is that of f at y: ``dx = f'(y) dy``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        """Compute f(x), and keep only that."""
        y = f(x)
        ctx.save_for_backward(y)
        ctx.f = f
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None]:
        """Differentiate f where the overwritten bottom stands."""
        (y,) = ctx.saved_tensors
        with torch.enable_grad():
            at = y.detach().requires_grad_()
            return torch.autograd.grad(ctx.f(at), at, grads[0])[0], None


def overwriting(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return f(x) with the gradient that Caffe's in-place layer gives."""
    y: Tensor = Overwritten.apply(x, f)  # type: ignore[no-untyped-call]  # torch does not type Function.apply
    return y
