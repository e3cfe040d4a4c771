"""A layer in its net: its blobs, its weights, and one step of Caffe's forward and backward pass over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dreamopt.engine.blob import Blob
from dreamopt.errors import TooLargeError
from dreamopt.parts.limits import MOST_AXES, MOST_VALUES

if TYPE_CHECKING:
    from dreamopt.engine.layer import Layer, Shape


@dataclass
class AutogradRecord:
    """What autograd keeps of one forward step of one layer."""

    bottoms: list[Tensor]
    weights: list[Tensor]
    tops: list[Tensor]
    versions: list[int]
    """The bottoms' memory versions: a script that wrote there since has made this graph stale."""
    stamps: list[tuple[int, int]] | None = None
    """The stamps of bottoms' and tops' memories once the tops were written; None if they were not."""
    left: Sequence[Tensor] = ()
    """What the layer carries into the next pass."""


@dataclass
class Node:
    """A layer, the blobs it reads and writes, and its weights."""

    layer: Layer
    bottoms: list[Blob]
    tops: list[Blob]
    added: bool = False
    """Whether it is a Split that the file does not name."""
    weights: list[Blob] = field(default_factory=list)
    borrowed: set[int] = field(default_factory=set)
    """Which of the weights are another layer's, by a ``param`` name."""
    stopped: frozenset[int] = frozenset()
    """The bottoms whose ``propagate_down`` is false."""
    skipped: bool = False
    """Whether no gradient comes to any of the tops, since their readers are stopped."""
    label_bottom: int | None = None
    """A bottom whose ``propagate_down`` is true, but which has no gradient."""
    loss_tops: set[int] = field(default_factory=set)
    """The tops that count in the net's loss."""
    weight_diffs_read: bool = False
    """Whether a script reads the weights' diffs, so that each backward pass must add to them."""
    weight_diffs_lost: bool = False
    """Whether a backward pass before the first such reading was not added."""
    carried: list[Blob] = field(default_factory=list)
    """What the last forward pass left for the next one; Caffe's blobs, so that they survive another size as blobs do."""
    _graph: AutogradRecord | None = None
    _unread: tuple[AutogradRecord, list[Tensor]] | None = None
    _bottom_shapes: tuple[Shape, ...] | None = None
    _top_shapes: list[Shape] = field(default_factory=list)

    @property
    def in_place(self) -> bool:
        """Whether the first top is written over the first bottom."""
        return bool(self.bottoms and self.tops) and self.bottoms[0] is self.tops[0]

    def compute(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
        """Run the layer as a pure function; from bottoms without values, as those of an empty batch, it makes tops without values."""
        if any(bottom.numel() == 0 for bottom in bottoms):
            shapes = self.layer.shape([tuple(bottom.shape) for bottom in bottoms])
            if all(0 in shape for shape in shapes):
                return [bottoms[0].new_zeros(tuple(shape)) + bottoms[0].sum() for shape in shapes]
        try:
            return list(self.layer.forward(bottoms, weights))
        except (IndexError, ZeroDivisionError, RuntimeError) as problem:
            if isinstance(problem, torch.OutOfMemoryError) or all(bottom.numel() and bottom.dim() for bottom in bottoms):
                raise
            shapes = [tuple(bottom.shape) for bottom in bottoms]
            self.layer.fail(
                f"cannot compute anything from bottoms of the shapes {' and '.join(map(str, shapes))}, where values are missing"
            )

    def reshape(self) -> None:
        """Give the tops the shapes that follow from the bottoms', after the layer has checked those."""
        if not self.bottoms:
            return
        shapes = tuple(blob.shape for blob in self.bottoms)
        if shapes != self._bottom_shapes:
            with self.layer.fitting(shapes):
                self._top_shapes = [tuple(shape) for shape in self.layer.shape(shapes)]
            self._bottom_shapes = shapes
            self._reshape_carried(self.layer.recurrent_state(shapes))
        for top, shape in zip(self.tops, self._top_shapes, strict=True):
            if top.shape != shape:
                check_blob(self.layer, f"its top '{top.name}'", shape)
                top.reshape(*shape)

    def _reshape_carried(self, shapes: Sequence[Shape]) -> None:
        if len(self.carried) != len(shapes):
            self.carried = [Blob((0,), self.layer.name) for _ in shapes]
        for blob, shape in zip(self.carried, shapes, strict=True):
            blob.reshape(*shape)

    def forward(self, device: torch.device) -> None:
        """Compute the tops from what the bottoms hold now."""
        self.reshape()
        if self.layer.type == "Input":
            return
        self._graph = None  # before the new one is made, so that its memory can serve again
        self._graph = graph = self._record(device)
        if self.layer.caffe_traits.shares_data:
            return
        if self.layer.shape_follows_data:
            self._top_shapes = [tuple(out.shape) for out in graph.tops]
            self.reshape()
        for top, out in zip(self.tops, graph.tops, strict=True):
            if tuple(out.shape) != top.shape:
                self.layer.fail(f"computed a top of shape {tuple(out.shape)}, but its shape() said {top.shape}")
            # A top that is its bottom (Dropout, a Slice) must not follow what a script writes into that bottom later.
            aliased = any(blob._data.aliases(out) for blob in self.bottoms)
            top._data.write(out.detach().clone() if aliased else out.detach())
        for blob, left in zip(self.carried, graph.left, strict=True):
            blob._data.write(left)
        graph.stamps = self._stamps()

    def _record(self, device: torch.device) -> AutogradRecord:
        bottoms = [blob._data.read(blob.shape, device) for blob in self.bottoms]
        # What comes to stand in the blobs must not change this, nor the weights' diffs, which are computed when somebody reads them.
        if self.in_place or self.weights or self.layer.caffe_traits.saves_forward_state or self.layer.caffe_traits.backward_reads_blobs:
            bottoms = [x.clone() if blob._data.aliases(x) else x for x, blob in zip(bottoms, self.bottoms, strict=True)]
        bottoms = [x.detach().requires_grad_() for x in bottoms]
        weights = [blob._data.read(blob.shape, device).detach().requires_grad_() for blob in self.weights]
        left: Sequence[Tensor] = ()
        if self.layer.phase == "TRAIN" and self.layer.type == "BatchNorm":  # it writes its running statistics there
            for blob in self.weights:
                blob._data.begin_change()
        with torch.enable_grad():
            if self.carried:
                last = [blob._data.read(blob.shape, device).detach() for blob in self.carried]
                outs, left = self.layer.forward_from(last, bottoms, weights)
                tops = list(outs)
            else:
                tops = self.compute(bottoms, weights)
        if self.layer.phase == "TRAIN" and device.type != "cpu":
            for blob, w in zip(self.weights, weights, strict=True):
                blob._data.write(w.detach())  # BatchNorm's running statistics, which it keeps in them
        return AutogradRecord(bottoms, weights, tops, [blob._data.version for blob in self.bottoms], left=[x.detach() for x in left])

    def loss(self, device: torch.device) -> float:
        """Return what the tops count in the net's loss: their values, weighed by what stands in their diffs, as in Caffe."""
        tops = [self.tops[i] for i in sorted(self.loss_tops)]
        return sum(float((top._data.read(top.shape, device) * top._diff.read(top.shape, device)).sum()) for top in tops)

    def backward(self, device: torch.device) -> None:
        """Write the bottoms' diffs from the tops' diffs; a bottom that no top depends on, or that is stopped, keeps its diff."""
        if not self.bottoms or self.skipped:
            return
        if self.label_bottom is not None:
            self.layer.fail(
                f"propagate_down is true for its bottom '{self.layer.param.bottom[self.label_bottom]}', which has no gradient;"
                " allowed is false"
            )
        seeds = [top._diff.read(top.shape, device) for top in self.tops]
        self.write_bottom_diffs(self.bottom_gradients(seeds, device))
        if self.weights:
            self._note_weight_diffs(self.recorded(device), seeds)

    def recorded(self, device: torch.device) -> AutogradRecord:
        """Return what autograd keeps of the last forward step, which runs again if a script has changed what it read."""
        self.reshape()
        graph = self._graph
        if graph is None or self._stale(graph):
            self._graph = graph = self._record(device)
        return graph

    def bottom_gradients(self, seeds: list[Tensor], device: torch.device) -> Sequence[Tensor | None]:
        """Return the bottoms' diffs for diffs of the tops; None for a bottom that no top depends on."""
        if self.layer.caffe_traits.zeroes_bottom_diffs:
            return [torch.zeros(blob.shape, device=device) for blob in self.bottoms]
        graph = self.recorded(device)
        return self._pulled_back(graph, seeds, device) if self._reads_again(graph) else gradients(graph.tops, graph.bottoms, seeds)

    def write_bottom_diffs(self, found: Sequence[Tensor | None]) -> None:
        """Write the bottoms' diffs, but for those that are None or stopped."""
        for i, (blob, grad) in enumerate(zip(self.bottoms, found, strict=True)):
            if grad is not None and (i not in self.stopped or self.layer.caffe_traits.ignores_propagate_down):
                aliased = any(top._diff.aliases(grad) for top in self.tops)
                blob._diff.write(grad.clone() if aliased else grad)

    def _stamps(self) -> list[tuple[int, int]]:
        return [blob._data.stamp for blob in (*self.bottoms, *self.tops)]

    def _reads_again(self, graph: AutogradRecord) -> bool:
        """Whether Caffe's layer would find other values in its blobs than it had in its forward pass."""
        layer = self.layer
        if not layer.caffe_traits.backward_reads_blobs:
            return False
        if layer.in_place and layer.caffe_traits.in_place_breaks_gradient:
            return True
        return graph.stamps != self._stamps() or any(blob._data.has_live_views for blob in (*self.bottoms, *self.tops))

    def _pulled_back(self, graph: AutogradRecord, seeds: Sequence[Tensor], device: torch.device) -> Sequence[Tensor | None]:
        x, y = (blob._data.read(blob.shape, device) for blob in (self.bottoms[0], self.tops[0]))
        return [self.layer.backward_from_blobs(x, y, seeds[0], graph.bottoms[0].detach())]

    def _stale(self, graph: AutogradRecord) -> bool:
        if any(tuple(t.shape) != blob.shape for t, blob in zip(graph.bottoms, self.bottoms, strict=True)):
            return True
        if self.in_place or self.layer.caffe_traits.backward_reads_blobs or self.layer.caffe_traits.saves_forward_state:
            return False
        return any(blob._data.touched_since(v) for blob, v in zip(self.bottoms, graph.versions, strict=True))

    def _note_weight_diffs(self, graph: AutogradRecord, seeds: list[Tensor]) -> None:
        # Caffe adds every backward pass to the weights' diffs, at the price of a third of the pass. Ascent never reads
        # them: so the last pass is kept, and computed when somebody asks; from then on, each pass is computed.
        if self._unread is not None:
            self.weight_diffs_lost = True
        kept = [s.clone() if top._diff.aliases(s) else s for s, top in zip(seeds, self.tops, strict=True)]
        self._unread = (graph, kept)
        if self.weight_diffs_read or self.carried:  # a recurrent layer's depend on its weights, which a script may change first
            self.flush_weight_gradients()

    def flush_weight_gradients(self) -> None:
        """Add the backward pass that nobody has asked about yet to the weights' diffs."""
        if self._unread is None:
            return
        graph, seeds = self._unread
        self._unread = None
        for blob, grad in zip(self.weights, gradients(graph.tops, graph.weights, seeds), strict=True):
            if grad is not None:
                blob._diff.write(blob._diff.read(blob.shape, grad.device) + grad)


def pass_of(which: str, node: Node) -> str:
    """Say in an error's words which pass of which layer it was."""
    shapes = ", ".join("x".join(map(str, blob.shape)) for blob in node.tops)
    return f"the {which} pass of layer '{node.layer.name}' ({node.layer.type}) at {node.layer.where}, whose tops are {shapes or 'none'},"


def check_blob(layer: Layer, what: str, shape: Shape) -> None:
    """Refuse a shape that no blob can have, in the layer's name."""
    if len(shape) > MOST_AXES:
        layer.fail(f"{what} has {len(shape)} axes; a blob has at most {MOST_AXES}", TooLargeError)
    if math.prod(shape) > MOST_VALUES:
        layer.fail(f"{what} would have the shape {'x'.join(map(str, shape))}; a blob has at most {MOST_VALUES} values", TooLargeError)


def gradients(tops: Sequence[Tensor], inputs: Sequence[Tensor], seeds: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Pull the tops' diffs back to the inputs; None where no top depends on one."""
    pairs = [(top, seed) for top, seed in zip(tops, seeds, strict=True) if top.requires_grad]
    if not pairs or not inputs:
        return [None] * len(inputs)
    outs, grads = zip(*pairs, strict=True)
    return torch.autograd.grad(outs, inputs, grads, retain_graph=True, allow_unused=True)
