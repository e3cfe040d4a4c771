"""Where values lie: a Concat costs nothing if its bottoms are written into the memory of its top.

They are slices of its channels then, with the top's distance from pixel to pixel (`dreamopt.engine.native.layout`). The top of one Concat
may be a slice of the next one's: the layers of a dense block write into one buffer, one behind the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from dreamopt.engine.executor.blocks import passing
from dreamopt.engine.graph import Value

if TYPE_CHECKING:
    from dreamopt.engine.executor.executor import Kernel
    from dreamopt.engine.layer import Shape

_REMEMBERED = 16  # shapes of inputs

Outs = Sequence["Tensor | None"]
"""Where a kernel is asked to write its values; empty, or None for one of them, where it may write it anywhere."""
Propagate = Callable[[Mapping[Value, "Shape"]], Mapping[Value, "Shape"]]
"""From the shapes of the inputs to those of all values."""


def target(outs: Outs, shape: Shape, like: Tensor) -> Tensor:
    """Return where a kernel writes its one value: where it is asked to, or new memory, of the dtype and device of ``like``."""
    asked = outs[0] if outs else None
    return passing.empty(tuple(shape), like.dtype, like.device) if asked is None else asked


class _Slice(NamedTuple):
    root: Value
    first: int
    channels: int


class _Layout(NamedTuple):
    """For inputs of one shape: the buffers' shapes, and of each kernel where its values lie; None for all where no value has a place."""

    buffers: dict[Value, Shape]
    places: list[tuple[_Slice | None, ...] | None]


class Placement:
    """The places of an executor's values.

    Parameters
    ----------
    kernels : sequence of Kernel
        In the order in which they run. A value has a place if its kernel `places` and a kernel that `joins` reads it.
    wanted : collection of Value
        They are handed out, and so have no place in other values' memory.
    propagate : callable, optional
        Gives the shapes of all values; without it nothing has a place.
    """

    def __init__(self, kernels: Sequence[Kernel], wanted: Collection[Value], propagate: Propagate | None) -> None:
        self._kernels, self._propagate = kernels, propagate
        self._by_shape: dict[tuple[Shape, ...], _Layout] = {}
        placing = {v for kernel in kernels if kernel.places for v in kernel.writes}
        self._parents: dict[Value, Value] = {}
        for kernel in kernels:
            if kernel.joins:
                for v in kernel.reads:
                    if v in placing and v not in wanted:
                        self._parents.setdefault(v, kernel.writes[0])

    def start(self, inputs: Mapping[Value, Tensor]) -> Places | None:
        """Return the places of the values of one pass; None where there are none."""
        if (
            self._propagate is None
            or not self._parents
            or not all(x.device.type == "cpu" and x.dtype == torch.float32 for x in inputs.values())
        ):
            return None
        key = tuple(tuple(x.shape) for x in inputs.values())
        layout = self._by_shape.get(key)
        if layout is None:
            if len(self._by_shape) >= _REMEMBERED:
                self._by_shape.clear()
            layout = self._by_shape[key] = self._layout(self._propagate({v: tuple(x.shape) for v, x in inputs.items()}))
        return Places(layout) if layout.buffers else None

    def _layout(self, shapes: Mapping[Value, Shape]) -> _Layout:
        begins: dict[Value, dict[Value, int]] = {}  # by the top of a Concat, where each bottom begins
        for kernel in self._kernels:
            top = shapes[kernel.writes[0]] if kernel.joins else ()
            if len(top) == 4 and kernel.joins_channels(top):
                begin, found = 0, begins.setdefault(kernel.writes[0], {})
                for v in kernel.reads:
                    found.setdefault(v, begin)
                    begin += shapes[v][1]
        slices: dict[Value, _Slice] = {}
        buffers: dict[Value, Shape] = {}
        for v in self._parents:
            root, first = v, 0
            while (parent := self._parents.get(root)) is not None and root in begins.get(parent, {}):
                root, first = parent, first + begins[parent][root]
            if root != v:
                slices[v] = _Slice(root, first, shapes[v][1])
                slices[root] = _Slice(root, 0, shapes[root][1])
                buffers[root] = shapes[root]
        places = [
            tuple(map(slices.get, kernel.writes)) if not slices.keys().isdisjoint(kernel.writes) else None for kernel in self._kernels
        ]
        return _Layout(buffers, places)


class Places:
    """The buffers of one pass, made when the first value is to be written into them."""

    def __init__(self, layout: _Layout) -> None:
        self._layout = layout
        self._buffers: dict[Value, Tensor] = {}

    def outs(self, index: int, writes: Sequence[Value]) -> Outs:
        """Return where the kernel of this number is to write."""
        places = self._layout.places[index]
        return () if places is None else [None if place is None else self._slice(place, v) for place, v in zip(places, writes, strict=True)]

    def _slice(self, place: _Slice, value: Value) -> Tensor:
        if place.root == value:  # written now, so that nothing more goes into it
            buffer = self._buffers.pop(value, None)
            return self._empty(value) if buffer is None else buffer
        if place.root not in self._buffers:
            self._buffers[place.root] = self._empty(place.root)
        # `data`: what autograd keeps of one slice counts as unchanged when the next one is written
        return self._buffers[place.root].narrow(1, place.first, place.channels).data

    def _empty(self, root: Value) -> Tensor:
        return passing.empty(self._layout.buffers[root], torch.float32, torch.device("cpu"))
