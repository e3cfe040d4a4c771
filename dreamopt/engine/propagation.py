"""Where ``propagate_down: false`` stops the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dreamopt.engine.layer import Layer
from dreamopt.schema.caffe_pb2 import LayerParameter

if TYPE_CHECKING:
    from dreamopt.engine.node import Node


class Stop(Layer):
    """``y = x``, without a way back: what a program reads in place of a bottom whose ``propagate_down`` is false."""

    @classmethod
    def before(cls, reader: Layer, i: int) -> Stop:
        """Return the one for bottom ``i`` of a layer."""
        blob = reader.param.bottom[i]
        param = LayerParameter(name=f"{reader.name} (propagate_down)", type="Stop", bottom=[blob], top=[f"{blob} (stopped)"])
        return cls(param, reader.phase, reader.where)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the bottom."""
        found: Tensor = _Stop.apply(bottoms[0])  # type: ignore[no-untyped-call]
        return [found]


class _Stop(torch.autograd.Function):
    # Not detach(): the value still depends on the image, as a net's zero gradient is told from none by asking for it.
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> None:
        return None


class _Grounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]  # zeros where none came, which autograd hands to a Function


def grounded(x: Tensor) -> Tensor:
    """Return ``x``, whose gradient is zero, not missing, where all ways to it are stopped."""
    found: Tensor = _Grounded.apply(x)  # type: ignore[no-untyped-call]
    return found


def stopped(param: LayerParameter, forced: bool) -> frozenset[int]:
    """Return the bottoms of a layer to which its ``propagate_down`` lets no gradient, where ``force_backward`` does not overrule it."""
    return frozenset() if forced else frozenset(i for i, wanted in enumerate(param.propagate_down) if not wanted)


def constant(layer: Layer) -> frozenset[int]:
    """Return the bottoms of a layer that have no gradient: labels, selectors, marks of where sequences begin."""
    n = len(layer.param.bottom)
    return frozenset(i % n for i in layer.no_gradient if -n <= i < n)


def skipped(params: Sequence[LayerParameter], forced: bool) -> list[bool]:
    """Return which of the layers, in their order, no gradient comes to.

    A layer all of whose tops are left by their readers has no backward pass, and leaves its own bottoms (Caffe,
    src/caffe/net.cpp, Net::Init). A Split has one as long as one of its tops does, and adds what stands in the others.
    """
    left: set[str] = set()
    found = []
    for param in reversed(params):
        skips = bool(param.top) and left.issuperset(param.top)
        stops = stopped(param, forced)
        left.update(name for i, name in enumerate(param.bottom) if skips or i in stops)
        found.append(skips)
    return found[::-1]


def mark(node: Node, skips: bool, forced: bool) -> None:
    """Tell a layer whether no gradient comes to it, and which of its bottoms it must leave."""
    param = node.layer.param
    node.skipped, node.stopped = skips, stopped(param, forced)
    asked = [i for i, wanted in enumerate(param.propagate_down) if wanted and i in constant(node.layer)]
    node.impossible = asked[0] if asked else None
