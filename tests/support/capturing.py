"""CUDA graphs without a GPU: the calls of torch's functions are captured, and done again at the same addresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

T = TypeVar("T")


class _Calls(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        self.calls.append((function, args, kwargs, result))
        return result


class FakeGraph:
    """What was captured; ``replays`` says how often it was done again."""

    def __init__(self, calls: list[tuple[Any, Any, Any, Any]]) -> None:
        self.calls, self.replays = calls, 0

    def replay(self) -> None:
        self.replays += 1
        with torch.no_grad():
            for function, args, kwargs, result in self.calls:
                again = function(*args, **kwargs)
                for there, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(there, Tensor) and there.data_ptr() != new.data_ptr():
                        there.detach().copy_(new)


class FakeCapturer:
    """Captures on the CPU, as a GPU does: what waits for a value is refused."""

    made: ClassVar[list[FakeCapturer]] = []

    def __init__(self, device: torch.device) -> None:
        self.device, self.warm_ups, self.graphs = device, 0, list[FakeGraph]()
        self.made.append(self)

    def warm_up(self, run: Callable[[], object]) -> None:
        assert not self.graphs, "libraries choose their algorithms before the first capture"
        self.warm_ups += 1
        run()

    def capture(self, run: Callable[[], T]) -> tuple[FakeGraph, T]:
        with _Calls() as mode:
            result = run()
        self.graphs.append(FakeGraph(mode.calls))
        return self.graphs[-1], result
