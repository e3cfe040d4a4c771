"""One stretch of float32 numbers with two faces: a numpy buffer for scripts, a torch tensor for the engine.

pycaffe hands out numpy views that stay alive while the net runs, and scripts write through them at any moment. The engine
wants tensors in its own layout, on its own device, and no copy that nobody reads. So a result stays a tensor until
somebody asks for `view`; and while somebody holds a view, results are copied into the buffer at once, as a CPU Caffe does.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from dreamopt.engine.layer import Shape, count
from dreamopt.parts.memory import require_memory

_making = threading.RLock()  # nets that share weights may run in several threads
FloatArray = np.ndarray[Any, np.dtype[np.float32]]


class PendingPass:
    """A pass that would have written some memories, and will when somebody reads one."""

    def __init__(self) -> None:
        self._waiting: dict[Memory, None] = {}

    @property
    def waits(self) -> bool:
        """Whether some memory still holds what the pass will write."""
        return bool(self._waiting)

    def wait(self, memories: Iterable[Memory]) -> None:
        """Let these memories hold what the pass will write."""
        for memory in memories:
            memory._drop()
            memory.writes += 1
            memory._pending = self
            self._waiting[memory] = None

    def forget(self, memory: Memory) -> None:
        """Note that a memory holds something else now."""
        self._waiting.pop(memory, None)

    def write_all(self, replayed: Callable[[Memory], Memory]) -> list[Memory]:
        """Write the memories that still wait, from what ``replayed`` returns for each; return them. Those left by an error wait on."""
        waiting = list(self._waiting)
        for memory in waiting:
            source = replayed(memory)
            if memory._pending is self and source.is_set:
                memory.write(source._settle() if source._tensor is None else source._tensor)
            elif memory._pending is self:
                memory._drop()
        return waiting

    def settle(self, memory: Memory | None = None) -> None:
        """Write all that waits; ``memory`` is what somebody wants to read."""
        raise AssertionError(f"{type(self).__name__} does not say what it writes")


class Watcher(Protocol):
    """Something that depends on what a memory holds now."""

    def settle(self) -> None:
        """Take what it needs, since that is about to change."""


class Memory:
    """Flat float32 memory, zero until written; shared by the blobs that Caffe lets share theirs.

    It is taken when somebody first reads or writes: a net of any size can be described without it.

    Parameters
    ----------
    name : str
        Whose it is, for errors.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.capacity = 0
        self.version = 0
        self.writes = 0
        self._buffer: Tensor | None = None
        self._host: FloatArray | None = None
        self._tensor: Tensor | None = None
        self._lent = False
        self._fill: Callable[[], FloatArray] | None = None
        self._pending: PendingPass | None = None
        self._watchers: weakref.WeakSet[Watcher] | None = None

    @property
    def is_set(self) -> bool:
        """Whether anybody has written or looked; if not, all numbers are zero."""
        return not (self._buffer is None and self._tensor is None and self._fill is None and self._pending is None)

    def watch(self, watcher: Watcher) -> None:
        """Call ``watcher`` before the numbers change from now on, or somebody gets a view."""
        if self._watchers is None:
            self._watchers = weakref.WeakSet()
        self._watchers.add(watcher)

    def _settle_watchers(self) -> None:
        for watcher in list(self._watchers or ()):
            watcher.settle()

    def begin_change(self) -> None:
        """Let those that depend on the numbers take them; a layer that writes into its own weights calls this first."""
        self._settle_watchers()
        self.version += 1

    def _resolve(self) -> None:
        if self._pending is not None:
            self._pending.settle(self)

    def _drop(self) -> None:
        if self._pending is not None:
            self._pending.forget(self)
            self._pending = None

    def grow(self, n: int) -> bool:
        """Make room for ``n`` numbers; True when that took new memory, which is zero. Shrinking keeps the old numbers."""
        if n <= self.capacity:
            return False
        self.capacity = n
        self.clear()
        return True

    def clear(self) -> None:
        """Take new memory, all zero; views handed out before keep the old one."""
        self._settle_watchers()
        self._drop()
        self._buffer = self._host = self._tensor = self._fill = None
        self.version += 1

    def fill_later(self, values: Callable[[], FloatArray]) -> None:
        """Hold what ``values`` returns, once somebody reads; all of it, in any shape, or one number for all."""
        self.clear()
        self._fill = values

    def set_all(self, values: FloatArray) -> None:
        """Write all numbers, without making those that `fill_later` would have."""
        self._settle_watchers()
        self._fill = None
        self.view(values.shape)[...] = values

    @property
    def has_live_views(self) -> bool:
        """Whether a numpy view is alive out there, through which anybody may read or write at any time."""
        # Two references are ours: the attribute, and getrefcount's argument. Tensors alias _buffer, not _host.
        return self._lent or (self._host is not None and sys.getrefcount(self._host) > 2)

    def _settle(self) -> Tensor:
        if self._buffer is None or self._fill is not None:
            with _making:
                self._make()
        assert self._buffer is not None
        if self._tensor is not None:
            self._copy(self._tensor)
            self._tensor = None
        return self._buffer

    def _make(self) -> None:
        if self._buffer is None:
            # Fillers draw in float64.
            require_memory((4 if self._fill is None else 16) * self.capacity, self.name or "a blob")
            buffer = torch.zeros(self.capacity)
            self._host = buffer.numpy()
            self._buffer = buffer
        if self._fill is not None:
            self._buffer.numpy()[...] = np.broadcast_to(self._fill().reshape(-1), self.capacity)
            self._fill = None

    def _copy(self, tensor: Tensor) -> None:
        assert self._buffer is not None
        self._buffer[: tensor.numel()].view(tensor.shape).copy_(tensor)

    def view(self, shape: Shape) -> FloatArray:
        """Return a writable numpy view of the first numbers, in this shape; what is written there counts from now on."""
        self._settle_watchers()
        self._resolve()
        self._settle()
        self.version += 1
        assert self._host is not None
        return self._host[: count(shape)].reshape(shape)

    def read(self, shape: Shape, device: torch.device) -> Tensor:
        """Return the numbers as a tensor of this shape; it may alias the buffer, so nobody may write into it."""
        self._resolve()
        tensor = self._tensor
        if tensor is None or tensor.numel() != count(shape):
            tensor = self._settle()[: count(shape)]
        return tensor.reshape(shape).to(device)

    def write(self, tensor: Tensor) -> None:
        """Take over an engine's result, which nobody may write into afterwards."""
        self.writes += 1
        if self._tensor is not None and self._tensor.numel() > tensor.numel():
            self._settle()  # behind a smaller result, the larger one stands until a blob grows again
        if self.has_live_views:
            self._settle()
            self._copy(tensor)
        else:
            self._tensor = tensor
        self._drop()  # last, so that no other thread reads what stood here before

    def as_parameter(self, shape: Shape) -> Tensor:
        """Return the buffer itself as a tensor, to train on; it counts as watched from now on."""
        self._settle_watchers()
        self._resolve()
        self._lent = True
        return self._settle()[: count(shape)].view(shape)

    def aliases(self, tensor: Tensor) -> bool:
        """Whether the tensor is a view of the buffer, so that scripts may change it."""
        return self._buffer is not None and self._buffer.data_ptr() == tensor.untyped_storage().data_ptr()

    @property
    def stamp(self) -> tuple[int, int]:
        """Changes with every write, the engine's included; writes through views are not seen, see `has_live_views`."""
        return self.version, self.writes

    def touched_since(self, version: int) -> bool:
        """Whether somebody outside the engine may have written since ``version`` was read."""
        return self.version != version or self.has_live_views
