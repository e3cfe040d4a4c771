"""Memory for what a pass keeps for its backward pass, apart from the heap.

What is kept lives long, and lies between values that live as long as one kernel. In one heap it would cut the room that those leave into
pieces in which the next large value finds none: a step was seen to take twice what it had in use.
"""

from __future__ import annotations

import math
import mmap
from typing import ClassVar

import torch
from torch import Tensor

_SEGMENT = 16 << 20
_LEAST = 1 << 16  # bytes; what is smaller hurts no heap
_ALIGNED = 64


class Keeper:
    """Gives memory, which is taken back all at once when it is dropped, for other passes to use.

    Examples
    --------
    >>> keeper = Keeper()
    >>> keeper.empty((1, 3, 400, 500), torch.bool, torch.device("cpu")).shape
    torch.Size([1, 3, 400, 500])
    """

    _unused: ClassVar[list[mmap.mmap]] = []  # of all passes

    def __init__(self) -> None:
        self._segments: list[mmap.mmap] = []
        self._place = 0

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return a tensor (N, C, H, W) with channels last in memory, whose values are anything."""
        count = math.prod(shape)
        size = count * dtype.itemsize
        if device.type != "cpu" or size < _LEAST:
            return torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)
        if not self._segments or self._place + size > len(self._segments[-1]):
            self._segments.append(self._segment(size))
            self._place = 0
        flat = torch.frombuffer(self._segments[-1], dtype=dtype, count=count, offset=self._place)
        self._place += -(-size // _ALIGNED) * _ALIGNED
        n, channels, height, width = shape
        return flat.view(n, height, width, channels).permute(0, 3, 1, 2)

    @classmethod
    def _segment(cls, size: int) -> mmap.mmap:
        fitting = [segment for segment in cls._unused if len(segment) >= size]
        if not fitting:
            return mmap.mmap(-1, max(size, _SEGMENT), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        smallest = min(fitting, key=len)
        cls._unused.remove(smallest)
        return smallest

    def __del__(self) -> None:
        self._unused.extend(self._segments)
