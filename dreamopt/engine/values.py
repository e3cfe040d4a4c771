"""The values of a net: what each layer writes, who reads it, and what names mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dreamopt.engine.blob import Blob
from dreamopt.engine.names import find
from dreamopt.engine.node import Node
from dreamopt.engine.propagation import Stop, constant

Value = tuple[int, int]
"""What a layer wrote: (place of the layer in the net, place of the top). A `Stop` has a negative place of its own."""


@dataclass(frozen=True)
class Step:
    """One layer to run, and the values it reads."""

    node: Node
    index: int
    reads: tuple[Value, ...]


class Values:
    """Which layer wrote what each bottom reads, and what the names of layers and blobs mean.

    A layer's name means what that layer wrote: with ``relu5`` running in place on the blob ``conv5``, ``conv5`` is the
    value before it and ``relu5`` the value after it. Of a layer with several tops, that is the first one; ``slice[0]``, ``slice[1]``
    ... mean each. A blob's name that is no layer's means the blob's last value.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.steps: list[Step] = []
        self.by_layer: dict[str, Value] = {}
        self.by_blob: dict[str, Value] = {}
        for i, node in enumerate(nodes):
            reads = [self.by_blob[name] for name in node.layer.param.bottom]
            for k in node.stopped - constant(node.layer):
                before = Node(Stop.before(node.layer, k), [node.bottoms[k]], [Blob((0,))])
                self.steps.append(Step(before, -1 - len(self.steps), (reads[k],)))
                reads[k] = (self.steps[-1].index, 0)
            self.steps.append(Step(node, i, tuple(reads)))
            for j, name in enumerate(node.layer.param.top):
                # A Split's tops are its bottom; nothing is computed for them.
                self.by_blob[name] = reads[0] if node.layer.type == "Split" else (i, j)
            if node.layer.param.top:
                self.by_layer.setdefault(node.layer.name, self.by_blob[node.layer.param.top[0]])
            if len(node.layer.param.top) > 1:
                for j, name in enumerate(node.layer.param.top):
                    self.by_layer.setdefault(f"{node.layer.name}[{j}]", self.by_blob[name])

    def find(self, name: str) -> Value:
        """Return the value that a name means.

        Raises
        ------
        TargetError
            If no layer or blob has that name, with those that come near.
        """
        found = self.by_layer.get(name) or self.by_blob.get(name)
        if found is not None:
            return found
        find([*self.by_layer, *(b for b in self.by_blob if b not in self.by_layer)], name, "layer or blob")
        raise AssertionError("find() raises for an unknown name")
