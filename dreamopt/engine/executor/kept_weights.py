"""What rules make of a layer's weights, made once and not in every pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dreamopt.engine.executor.convolution import Backward, Geometry, Packed

if TYPE_CHECKING:
    from dreamopt.engine.memory import Memory
    from dreamopt.engine.node import Node

_LARGEST = 1 << 19
"""More weights than that are made anew: each is there about eight times, in the layouts of both directions."""


class KeptWeights:
    """Parts of a layer's weights, and convolutions with them, until somebody touches the net's.

    Parameters
    ----------
    node : Node
        The layer.
    """

    def __init__(self, node: Node) -> None:
        self._blobs = node.weights
        self._stamp: list[tuple[Memory, int]] = []
        self._device = torch.device("cpu")
        self._parts: dict[str, Tensor] = {}
        self._packed: dict[tuple[int, int | None], tuple[Packed, Backward]] = {}

    def check(self, device: torch.device) -> KeptWeights:
        """Forget everything if the weights may have changed, or are wanted elsewhere."""
        stamps = zip(self._blobs, self._stamp, strict=False)
        if not self._stamp or device != self._device or any(b._data is not m or m.touched_since(v) for b, (m, v) in stamps):
            self._parts, self._packed = {}, {}
            self._stamp, self._device = [(blob._data, blob._data.version) for blob in self._blobs], device
        return self

    def part(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Return a part of the weights, made where it is not there."""
        found = self._parts.get(name)
        if found is None:
            found = make()
            if found.numel() <= _LARGEST:
                self._parts[name] = found
        return found

    def convolutions(self, w: Tensor, bias: Tensor | None, geometry: Geometry) -> tuple[Packed, Backward]:
        """Return the convolutions forward and backward with these weights, kept where those are."""
        key = (id(w), None if bias is None else id(bias))
        found = self._packed.get(key)
        if found is None:
            found = Packed(w, bias, geometry), Backward(w, geometry)
            if all(any(tensor is part for part in self._parts.values()) for tensor in (w, bias) if tensor is not None):
                self._packed[key] = found
        return found
