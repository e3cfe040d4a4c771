"""Where ``propagate_down: false`` stops the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dreamopt.engine.layer import Layer
from dreamopt.schema.caffe_pb2 import LayerParameter


class StopGradient(Layer):
    """``y = x``, without a backward pass: what a program reads in place of a bottom whose ``propagate_down`` is false."""

    @classmethod
    def before(cls, reader: Layer, i: int) -> StopGradient:
        """Return the one for bottom ``i`` of a layer."""
        blob = reader.param.bottom[i]
        param = LayerParameter(name=f"{reader.name} (propagate_down)", type="Stop", bottom=[blob], top=[f"{blob} (stopped)"])
        return cls(param, reader.phase, reader.where)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the bottom."""
        found: Tensor = _StopGradient.apply(bottoms[0])  # type: ignore[no-untyped-call]
        return [found]


class _StopGradient(torch.autograd.Function):
    # Not detach(): the value still depends on the image, and a zero gradient differs from a missing one.
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> None:
        return None


class _WithZeroGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]  # zeros where none came, which autograd hands to a Function


def with_zero_gradient(x: Tensor) -> Tensor:
    """Return ``x``, whose gradient is zero, not missing, where all ways to it are stopped."""
    found: Tensor = _WithZeroGradient.apply(x)  # type: ignore[no-untyped-call]
    return found
