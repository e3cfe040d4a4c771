"""What running in place does to a gradient in Caffe.

A layer that writes its top over its bottom leaves its backward pass with the top alone; and once a second layer has
written over that, not even the first one's top is there any more. Layers that read the blobs again (ReLU, Sigmoid, Power
...) find what the last one wrote, and Caffe's numbers follow from that, also where they are no derivative. The net keeps its
blobs as Caffe does; a program knows values only, and learns here which of its layers find others than they had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dreamopt.engine.tape import Kernel
from dreamopt.engine.values import Value

if TYPE_CHECKING:
    from dreamopt.engine.layer import Layer
    from dreamopt.engine.values import Step

Standing = tuple[Value, Value]
"""The values that stand in a layer's bottom and top when its backward pass comes."""


def find_overwritten(steps: Sequence[Step]) -> dict[int, Standing]:
    """Return, by their places in the net, the layers whose backward pass finds other values than their forward pass had.

    Parameters
    ----------
    steps : sequence of Step
        The layers that run, in order.
    """
    last: dict[int, Value] = {}
    changed: dict[int, int] = {}
    for step in steps:
        for j, top in enumerate(step.node.tops):
            last[id(top._data)] = (step.index, j)
            if not step.node.layer.keeps_values:
                changed[id(top._data)] = step.index
    found = {}
    for step in steps:
        layer = step.node.layer
        if layer.rereads:
            below, above = (id(blobs[0]._data) for blobs in (step.node.bottoms, step.node.tops))
            later = any(changed.get(memory, -1) > step.index for memory in (below, above))
            if later or (layer.in_place and layer.spoils_itself):
                found[step.index] = (last[below], last[above])
    return found


def pulled_back(layer: Layer, then: Tensor, standing: Sequence[Tensor], grad: Tensor) -> Tensor:
    """Return the gradient of the layer's bottom; what stands there may have another shape (Flatten)."""
    x, y = (value.detach().reshape(then.shape) for value in standing)
    return layer.pull_back(x, y, grad, then)


class Overwritten(Kernel):
    """A layer whose blobs a layer in place overwrites before its backward pass."""

    def __init__(self, layer: Layer, reads: Sequence[Value], writes: Sequence[Value], late: Standing) -> None:
        super().__init__(reads, writes)
        self.layer = layer
        self.late = late

    def forward(self, xs: Sequence[Tensor]) -> tuple[Sequence[Tensor], Any]:
        """Compute the top, and keep the bottom."""
        return self.layer.forward(xs, []), xs[0]

    def backward(self, kept: Any, grads: Sequence[Tensor | None], into: Tensor | None) -> Sequence[Tensor | None]:
        """Go back by the values that stand in the blobs."""
        then, standing = kept
        assert grads[0] is not None
        return [pulled_back(self.layer, then, standing, grads[0])]


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Layer, late: Standing, values: Mapping[Value, Tensor]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.layer, ctx.late, ctx.values = layer, late, values
        (y,) = layer.forward([x], [])
        return y.clone() if y is x else y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (then,) = ctx.saved_tensors
        return pulled_back(ctx.layer, then, [ctx.values[v] for v in ctx.late], grads[0]), None, None, None


def run_overwritten(layer: Layer, x: Tensor, late: Standing, values: Mapping[Value, Tensor]) -> Tensor:
    """Run a layer for autograd; ``values`` are to hold those of ``late``, detached, when the gradient is asked for."""
    y: Tensor = _Layer.apply(x, layer, late, values)  # type: ignore[no-untyped-call]  # torch does not type Function.apply
    return y
