"""Memory for large values of a pass on the CPU, apart from the heap.

In glibc's heap they cost up to three times what is in use: a block that is freed has no room for one of the same size again, since torch
asks for aligned ones, and what lives long lies in the holes of what does not. Mapped one by one instead, each would have to be zeroed by
the kernel anew. So they are taken from segments that stay mapped, and go back there when the tensor is gone.
"""

from __future__ import annotations

import bisect
import contextlib
import ctypes
import math
import mmap
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from dreamopt.engine.executor.allocator import keep_memory
from dreamopt.parts.memory import add_reserve

LEAST = 1 << 20
"""Bytes; what is smaller hurts no heap."""
_PAGE = 1 << 12
_SPARE = 1.0  # times the most that was in use at once may be mapped before segments that lie idle go back


@dataclass(eq=False)
class _Segment:
    """A mapping, and the holes in it: (begin, end), in order."""

    memory: mmap.mmap
    holes: list[tuple[int, int]] = field(default_factory=list)

    @cached_property
    def address(self) -> int:
        """Where it begins."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self.memory))

    @property
    def is_idle(self) -> bool:
        """Whether nothing lies in it."""
        return self.holes == [(0, len(self.memory))]

    def give_back(self, begin: int, end: int) -> None:
        """Add a hole, joined with its neighbours."""
        at = bisect.bisect(self.holes, (begin, end))
        if at < len(self.holes) and self.holes[at][0] == end:
            end = self.holes.pop(at)[1]
        if at > 0 and self.holes[at - 1][1] == begin:
            begin = self.holes.pop(at - 1)[0]
            at -= 1
        self.holes.insert(at, (begin, end))


class Blocks:
    """Segments of memory for tensors that live about as long.

    Parameters
    ----------
    least : int
        Bytes of the smallest tensor that lies there.
    step : int
        Bytes; tensors begin at multiples of it.
    chunk : int
        Bytes of the smallest segment; above 0, none goes back before all do.
    """

    def __init__(self, least: int = LEAST, step: int = _PAGE, chunk: int = 0) -> None:
        self._least, self._step, self._chunk = least, step, chunk
        self._segments: list[_Segment] = []
        self._gone: list[tuple[_Segment, int, int]] = []
        self._alive: dict[int, weakref.ref[ctypes.Array[ctypes.c_char]]] = {}
        self._used = self._most = 0
        self._lock = threading.Lock()  # passes may run in several threads

    @property
    def mapped(self) -> int:
        """Bytes of all segments."""
        return sum(len(segment.memory) for segment in self._segments)

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, channels_last: bool = True) -> Tensor:
        """Return a tensor whose values are anything; one of four axes has the channels last in memory, if ``channels_last``.

        Examples
        --------
        >>> blocks = Blocks()
        >>> x = blocks.empty((1, 3, 400, 500), torch.float32, torch.device("cpu"))
        >>> blocks.mapped >= 4 * x.numel(), x.is_contiguous(memory_format=torch.channels_last)
        (True, True)
        """
        others: Blocks | None = getattr(_instead, "blocks", None)
        if others is not None and others is not self:
            return others.empty(shape, dtype, device, channels_last)
        count = math.prod(shape)
        size = count * dtype.itemsize
        if device.type != "cpu" or size < max(self._least, 1) or not (self._chunk or keep_memory()):
            layout = torch.channels_last if len(shape) == 4 and channels_last else torch.contiguous_format
            return torch.empty(shape, dtype=dtype, device=device, memory_format=layout)
        flat = torch.frombuffer(self._take(-(-size // self._step) * self._step), dtype=dtype, count=count)
        if len(shape) != 4 or not channels_last:
            return flat.view(shape)
        n, channels, height, width = shape
        return flat.view(n, height, width, channels).permute(0, 3, 1, 2)

    def holds(self, tensor: Tensor) -> bool:
        """Return whether a tensor lies here."""
        return tensor.layout is torch.strided and self._place(tensor) is not None

    def alias(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the same memory, which lies here, that does not keep others from it when the first is gone."""
        place = self._place(tensor)
        assert place is not None
        segment, offset = place
        span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)) if tensor.numel() else 0
        flat = torch.frombuffer(segment.memory, dtype=tensor.dtype, count=max(span, 1), offset=offset)
        return flat.as_strided(tensor.shape, tensor.stride())

    def _place(self, tensor: Tensor) -> tuple[_Segment, int] | None:
        address = tensor.data_ptr()
        for segment in self._segments:
            offset = address - segment.address
            if 0 <= offset < len(segment.memory):
                return segment, offset
        return None

    def give_back(self) -> None:
        """Unmap all segments in which nothing lies."""
        with self._lock:
            self._collect()
            self._segments = [segment for segment in self._segments if not segment.is_idle]
            self._most = self._used

    def _take(self, size: int) -> ctypes.Array[ctypes.c_char]:
        """Return memory that goes back by itself; MemoryError where the machine gives no more."""
        with self._lock:
            self._collect()
            most = max(self._most, self._used + size)
            segment, begin = self._hole(size, most)
            self._used, self._most = self._used + size, most
        block = (ctypes.c_char * size).from_buffer(segment.memory, begin)
        key, gone, alive = id(block), self._gone, self._alive

        def free(_: object) -> None:  # may run at any moment, also while holes are looked through
            gone.append((segment, begin, begin + size))
            alive.pop(key, None)

        alive[key] = weakref.ref(block, free)
        return block

    def _hole(self, size: int, most: int) -> tuple[_Segment, int]:
        """Return a segment and where in it so many bytes are taken: in the smallest hole that fits, or newly mapped."""
        fitting = [(end - begin, begin, segment) for segment in self._segments for begin, end in segment.holes if end - begin >= size]
        if fitting:
            length, begin, segment = min(fitting, key=lambda hole: hole[:2])
            segment.holes.remove((begin, begin + length))
            if length > size:
                bisect.insort(segment.holes, (begin + size, begin + length))
            return segment, begin
        length = max(size, self._chunk)
        if not self._chunk:
            self._drop_idle(size, most)
        try:
            segment = _Segment(mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        except OSError as problem:
            raise MemoryError(f"the machine gives no {size} bytes more: {problem}") from problem
        if length > size:
            segment.holes.append((size, length))
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a kernel without them
                segment.memory.madvise(mmap.MADV_HUGEPAGE)
        self._segments.append(segment)
        return segment, 0

    def _collect(self) -> None:
        while self._gone:
            segment, begin, end = self._gone.pop()
            self._used -= end - begin
            segment.give_back(begin, end)

    def _drop_idle(self, size: int, most: int) -> None:
        """Unmap segments that lie idle, smallest first, until one of ``size`` more is no more than ``most``, in use at once, and some."""
        for segment in sorted((s for s in self._segments if s.is_idle), key=lambda s: len(s.memory)):
            if self.mapped + size <= _SPARE * most:
                return
            self._segments.remove(segment)


_instead = threading.local()


@contextmanager
def in_blocks(blocks: Blocks) -> Iterator[None]:
    """Let all that this thread takes lie in these blocks meanwhile."""
    before = getattr(_instead, "blocks", None)
    _instead.blocks = blocks
    try:
        yield
    finally:
        _instead.blocks = before


passing, kept = Blocks(), Blocks()
"""For values that one kernel hands to the next, and for what waits for the backward pass."""
for _blocks in (passing, kept):
    add_reserve(_blocks.give_back)
