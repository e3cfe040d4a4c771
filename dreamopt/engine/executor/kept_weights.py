"""What rules make of a layer's weights, made once and not in every pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from dreamopt.engine.executor.convolution import Backward, Geometry, Packed
from dreamopt.engine.executor.stamp import WeightStamp

if TYPE_CHECKING:
    import torch

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
        self._stamp = WeightStamp(node.weights)
        self._parts: dict[str, Tensor] = {}
        self._packed: dict[tuple[int, int | None], tuple[Packed, Backward]] = {}

    def check(self, device: torch.device) -> None:
        """Forget everything if the weights may have changed, or are wanted elsewhere."""
        if not self._stamp.is_current(device):
            self._parts, self._packed = {}, {}
            self._stamp.renew(device)

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
            # Directly: rules divide by these results, where rounding as coarse as Winograd's shows.
            found = Packed(w, bias, geometry, transform=False), Backward(w, geometry, transform=False)
            if all(any(tensor is part for part in self._parts.values()) for tensor in (w, bias) if tensor is not None):
                self._packed[key] = found
        return found
