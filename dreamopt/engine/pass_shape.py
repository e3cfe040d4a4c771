"""Which passes of a net may take the executor: those after which every blob holds what a pass from layer to layer leaves there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from dreamopt.engine.blob import Blob
from dreamopt.engine.blob_layer import BlobNode
from dreamopt.engine.graph import NetGraph, Value, constant
from dreamopt.engine.memory import Memory
from dreamopt.engine.node import Node


class ForwardShape:
    """What a forward pass from the first layer up to one writes.

    Parameters
    ----------
    nodes : sequence of Node
        The whole net.
    last : int
        The last layer that runs.
    graph : NetGraph
        The whole net's.

    Attributes
    ----------
    is_plain : bool
        Whether every layer is a function that reads what the graph says: no layer by hand, none that draws numbers or carries values into
        the next pass, and none that finds a bottom overwritten in place.
    final : dict of Memory to Value
        By the memory of the data, the value that it holds afterwards.
    inputs : dict of Memory to Blob
        Those of the Input layers.
    """

    def __init__(self, nodes: Sequence[Node], last: int, graph: NetGraph) -> None:
        self.nodes, self.last, self.graph = list(nodes[: last + 1]), last, graph
        self.final: dict[Memory, Value] = {}
        self.inputs: dict[Memory, Blob] = {}
        self._same: dict[Value, Value] = {}
        self.is_plain = all(map(_is_pure, self.nodes)) and nodes[last].layer.type not in ("Input", "Split") and self._walk()

    def _walk(self) -> bool:
        for i, node in enumerate(self.nodes):
            traits = node.layer.caffe_traits
            for blob, value in zip(node.bottoms, self.graph.reads[i], strict=True):
                if self._standing(blob) != self._canonical(value):
                    return False
            if node.layer.type == "Split":
                continue
            for j, top in enumerate(node.tops):
                if node.layer.type == "Input":
                    self.inputs[top._data] = top
                elif top._data in self.inputs:
                    return False
                if traits.shares_data or (node.in_place and j == 0 and traits.is_identity):
                    self._same[i, j] = self._canonical(self.graph.reads[i][0])
                self.final[top._data] = (i, j)
        return True

    def _canonical(self, value: Value) -> Value:
        return self._same.get(value, value)

    def _standing(self, blob: Blob) -> Value | None:
        value = self.final.get(blob._data)
        return None if value is None else self._canonical(value)

    @property
    def has_values(self) -> bool:
        """Whether all blobs have axes and values; what layers make of others, or say about them, is theirs."""
        return all(blob.shape and 0 not in blob.shape for node in self.nodes for blob in (*node.bottoms, *node.tops))

    @cached_property
    def is_derivative(self) -> bool:
        """Whether Caffe's backward pass, which reads some blobs again, finds there what its layers have seen."""
        return all(self._reads_its_own(i, node) for i, node in enumerate(self.nodes))

    def _reads_its_own(self, i: int, node: Node) -> bool:
        traits = node.layer.caffe_traits
        if not traits.backward_reads_blobs:
            return True
        if node.layer.in_place and traits.in_place_breaks_gradient:
            return False
        tops = all(self._standing(top) == self._canonical((i, j)) for j, top in enumerate(node.tops))
        if node.in_place:
            return tops
        return tops and all(self._standing(blob) == self._canonical(v) for blob, v in zip(node.bottoms, self.graph.reads[i], strict=True))


class BackwardShape:
    """What a backward pass from one layer down to the inputs reads and writes.

    Attributes
    ----------
    is_plain : bool
        Whether each layer writes the diffs of all its bottoms.
    written : dict of Memory to None
        The memories of the diffs that it writes.
    read : list of Blob
        Blobs whose diffs it reads, but which neither are seeds nor were written before in the pass: no layer up to ``first`` reads them.
    """

    def __init__(self, nodes: Sequence[Node], first: int) -> None:
        below = nodes[: first + 1]
        self.is_plain = all(map(_writes_all, below))
        self.written = dict.fromkeys(blob._diff for node in below for blob in node.bottoms)
        self.read: list[Blob] = []
        standing = {top._diff for top in nodes[first].tops}
        for node in reversed(below):
            self.read += [top for top in node.tops if node.bottoms and top._diff not in standing]
            standing |= {blob._diff for blob in node.bottoms}


def _is_pure(node: Node) -> bool:
    layer = node.layer
    if isinstance(node, BlobNode) or layer.phase == "TRAIN" or layer.shape_follows_data or node.loss_tops or node.carried:
        return False
    return bool(node.bottoms) != (layer.type == "Input")


def _writes_all(node: Node) -> bool:
    layer = node.layer
    if layer.type == "Input":
        return True
    return layer.differentiable and not (node.skipped or node.stopped or constant(layer) or node.label_bottom is not None)
