"""A pass from layer to layer over blobs of its own: what blobs held, worked out again when somebody asks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from dreamopt.engine.blob import Blob
from dreamopt.engine.layer import Shape
from dreamopt.engine.memory import Memory
from dreamopt.engine.node import AutogradRecord, Node, pass_of
from dreamopt.parts.memory import memory_errors


class Replay:
    """Layers with the weights of a net's, and other blobs, which share memory as the net's do.

    Parameters
    ----------
    nodes : sequence of Node
        The net's first layers.
    inputs : mapping of Memory to Tensor
        What the inputs' data held, by the net's memory; their shapes go with them.
    device : torch.device
        Where to compute.
    """

    def __init__(self, nodes: Sequence[Node], inputs: Mapping[Memory, Tensor], device: torch.device) -> None:
        self._originals, self._device = nodes, device
        self._memories: dict[Memory, Memory] = {}
        self._blobs: dict[int, Blob] = {}
        self.nodes = [
            replace(
                node,
                bottoms=[self._blob(blob, ()) for blob in node.bottoms],
                tops=[self._blob(blob, tuple(inputs[blob._data].shape) if blob._data in inputs else ()) for blob in node.tops],
                carried=[],
                weight_diffs_read=False,
                weight_diffs_lost=False,
                _graph=None,
                _unread=None,
                _bottom_shapes=None,
                _top_shapes=[],
            )
            for node in nodes
        ]
        for memory, values in inputs.items():
            self.of(memory).write(values)

    def of(self, memory: Memory) -> Memory:
        """Return what stands in here for a memory of the net."""
        return self._memories[memory]

    def forward(self) -> None:
        """Run all layers forward."""
        for node in self.nodes:
            with memory_errors(partial(pass_of, "forward", node), str(self._device)):
                node.forward(self._device)

    def backward(self, first: int, seeds: Mapping[Memory, Tensor]) -> None:
        """Run the layers from ``first`` down to the inputs backward; diffs of no seed are zero."""
        for memory, seed in seeds.items():
            self.of(memory).write(seed)
        for node in reversed(self.nodes[: first + 1]):
            with memory_errors(partial(pass_of, "backward", node), str(self._device)):
                node.backward(self._device)

    def hand_over_records(self, stamps: Mapping[Memory, tuple[int, int]], layers: Collection[int]) -> None:
        """Leave these of the net's layers what a forward pass of their own leaves; ``stamps`` are those after that pass."""
        for i, (node, mine) in enumerate(zip(self._originals, self.nodes, strict=True)):
            record = mine._graph
            if i in layers and record is not None:
                seen = [stamps.get(blob._data, blob._data.stamp) for blob in (*node.bottoms, *node.tops)]
                versions = [version for version, _ in seen[: len(node.bottoms)]]
                # of a layer whose blobs were written over in the same pass, stamps that are none say so
                unchanged = seen if record.stamps == mine._stamps() else None
                node._graph = AutogradRecord(record.bottoms, record.weights, record.tops, versions, unchanged, record.left)

    def hand_over_weight_diffs(self, first: int) -> None:
        """Leave the net's layers up to ``first`` what their weights' diffs are made of when somebody reads them."""
        for node, mine in zip(self._originals[: first + 1], self.nodes, strict=False):
            if mine._unread is not None:
                node._unread = mine._unread

    def _blob(self, original: Blob, shape: Shape) -> Blob:
        if id(original) not in self._blobs:
            blob = Blob(shape, original.name)
            blob._data = self._memories.setdefault(original._data, blob._data)
            blob._diff = self._memories.setdefault(original._diff, blob._diff)
            self._blobs[id(original)] = blob
        return self._blobs[id(original)]
