"""Layers that work on their blobs by hand, forward and backward, as pycaffe's Python layers do.

A usual layer is a pure function that autograd differentiates. One by hand reads and writes blobs, remembers what it
likes between two calls, and writes its own backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dreamopt.engine.blob import Blob
from dreamopt.engine.layer import Layer, Shape, Weight
from dreamopt.engine.node import Node


class BlobLayer(Layer):
    """A layer that overrides `run`, and where needed `open`, `resize` and `run_back`; all of them are given the blobs."""

    forced: bool = False
    """Whether the net's file says ``force_backward``, which overrules ``propagate_down``."""
    _opened: Sequence[Blob] = ()

    def open(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> list[Blob]:
        """Do what is to be done once, when the net is made; return the weights."""
        return []

    def resize(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        """Give the tops their shapes; called before each `run`."""

    def run(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        """Write the tops' data."""
        raise AssertionError(f"layer type {self.type} does not say how it computes")

    def run_back(self, tops: Sequence[Blob], wanted: Sequence[bool], bottoms: Sequence[Blob]) -> None:
        """Write the bottoms' diffs, those that are wanted, and add to the weights'."""

    def wanted(self) -> list[bool]:
        """Return for each bottom whether its diff is to be made; all are, unless ``propagate_down`` says otherwise."""
        flags = [] if self.forced else list(self.param.propagate_down)
        return flags or [True] * len(self.param.bottom)

    # ---- the contract of a usual layer, over blobs that live for one call

    def _scratch(self, shapes: Sequence[Shape]) -> tuple[list[Blob], list[Blob]]:
        bottoms = [Blob(shape, name) for shape, name in zip(shapes, self.param.bottom, strict=True)]
        tops = [Blob((0,), name) for name in self.param.top]
        for i, (top, known) in enumerate(zip(tops, self._opened, strict=False)):
            top.reshape(*known.shape)
            if i < len(bottoms) and self.param.bottom[i] == self.param.top[i]:
                tops[i] = bottoms[i]
        return bottoms, tops

    def begin(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> list[Blob]:
        """Open the layer, and remember the tops: some layers shape them only then."""
        self._opened = tops
        return self.open(bottoms, tops)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Open the layer on blobs of these shapes."""
        return [Weight(blob.shape) for blob in self.begin(*self._scratch(bottoms))]

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the shapes that `resize` gives the tops."""
        blobs, tops = self._scratch(bottoms)
        self.resize(blobs, tops)
        return [top.shape for top in tops]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the tops by `run`; autograd goes back by `run_back`. The weights are the layer's own."""
        tops: tuple[Tensor, ...] = _ByHand.apply(self, *bottoms)  # type: ignore[no-untyped-call]
        return tops


class _ByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, layer: BlobLayer, *xs: Tensor) -> tuple[Tensor, ...]:
        bottoms, tops = layer._scratch([tuple(x.shape) for x in xs])
        for blob, x in zip(bottoms, xs, strict=True):
            blob.data[...] = x.detach().cpu().numpy()
        layer.resize(bottoms, tops)
        if not xs:
            for top, known in zip(tops, layer._opened, strict=False):
                top.data[...] = known.data  # what was written once, when the net was made, or by a script
        layer.run(bottoms, tops)
        ctx.layer, ctx.blobs, ctx.xs = layer, (bottoms, tops), [(x.device, x.dtype) for x in xs]
        device, dtype = ctx.xs[0] if xs else (torch.device("cpu"), torch.float32)
        return tuple(torch.from_numpy(top.data.copy()).to(device, dtype) for top in tops)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        bottoms, tops = ctx.blobs
        for top, grad in zip(tops, grads, strict=True):
            top.diff[...] = grad.detach().cpu().numpy()
        ctx.layer.run_back(tops, ctx.layer.wanted(), bottoms)
        found = (torch.from_numpy(b.diff.copy()).to(*to) for b, to in zip(bottoms, ctx.xs, strict=True))
        return (None, *found)


class BlobNode(Node):
    """A `BlobLayer` in its net.

    Attributes
    ----------
    forced : bool
        Whether the net's file says ``force_backward``: then a layer with neither bottoms nor weights has its turn too.
    """

    forced: bool = False

    @property
    def hand(self) -> BlobLayer:
        """The layer."""
        assert isinstance(self.layer, BlobLayer)
        return self.layer

    def reshape(self) -> None:
        """Let the layer shape its tops."""
        self.hand.resize(self.bottoms, self.tops)

    def forward(self, device: torch.device) -> None:
        """Let the layer write its tops."""
        self.reshape()
        self.hand.run(self.bottoms, self.tops)

    def backward(self, device: torch.device) -> None:
        """Let the layer write its bottoms' diffs; one with neither bottoms nor weights only where that is forced."""
        if not self.skipped and (self.bottoms or self.weights or self.forced):
            self.hand.run_back(self.tops, self.hand.wanted(), self.bottoms)

    def flush_weight_gradients(self) -> None:
        """Do nothing: `backward` has written the weights' diffs."""
