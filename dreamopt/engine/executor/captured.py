"""Passes of one shape, captured once and replayed: on a GPU as CUDA graphs, which launch hundreds of small kernels as one.

The forward and the backward pass are captured apart, so that whatever lies between them, an objective and its random numbers, runs as ever.
What a capture reads and writes lies at fixed addresses: inputs are copied in, results are cloned out. A replay runs no code of the host,
so that weights that were changed since, another shape, or values that the host decides on need a new capture, or none at all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor

from dreamopt.engine.executor.executor import Call
from dreamopt.engine.executor.stamp import WeightStamp

if TYPE_CHECKING:
    from dreamopt.engine.blob import Blob
    from dreamopt.engine.executor.executor import Executor
    from dreamopt.engine.graph import Value

T = TypeVar("T")
_WARM_UP = 3  # passes, in which libraries choose algorithms and weights are packed
_REMEMBERED = 4  # captures, each of which holds the memory of its pass
_TRIED, _WORTH = 8, 4  # captures after which each must have been replayed so often
_FAR = 1e-2  # of the 2-norm; libraries may choose other algorithms, of other rounding


class Graph(Protocol):
    """What was captured."""

    def replay(self) -> None:
        """Do it again, with what lies at the same addresses now."""


class Capturer(Protocol):
    """Captures what a device does; `CudaCapturer`, or a test's."""

    def warm_up(self, run: Callable[[], object]) -> None:
        """Run as it will be captured, so that all that is made once is made."""

    def capture(self, run: Callable[[], T]) -> tuple[Graph, T]:
        """Run, capturing; RuntimeError where something cannot be captured. Results hold values after the first replay."""


class CudaCapturer:
    """Captures CUDA graphs that share one private pool of memory, and are replayed in the order in which they were captured.

    Parameters
    ----------
    device : torch.device
        A GPU.

    References
    ----------
    PyTorch, CUDA semantics, CUDA Graphs.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # Of warm-up too: libraries keep a handle for each stream, and making one cannot be captured.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own has no types
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, run: Callable[[], object]) -> None:
        """Run on the stream that captures."""
        with torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                run()
            torch.cuda.current_stream().wait_stream(self._stream)

    def capture(self, run: Callable[[], T]) -> tuple[Graph, T]:
        """Capture a graph. Nothing may wait for the device meanwhile, or copy from the host's memory."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device), torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            result = run()
        return graph, result


def capturer_for(device: torch.device) -> Callable[[torch.device], Capturer] | None:
    """Return what captures the passes of a device: a GPU's where ``DREAMOPT_CUDA_GRAPHS=1`` asks for it, and nothing otherwise."""
    return CudaCapturer if device.type == "cuda" and os.environ.get("DREAMOPT_CUDA_GRAPHS") == "1" else None


class CapturedPass:
    """A forward pass of one shape and, where gradients are wanted, its backward pass.

    Parameters
    ----------
    executor : Executor
        What computes.
    inputs : mapping of Value to Tensor
        Of the shape.
    wants : sequence of Value
        The inputs whose gradients are wanted.
    samples : int
        How many samples the batch has.
    capturer : Capturer
        Of these two passes alone.

    Raises
    ------
    RuntimeError
        Where they cannot be captured.
    """

    def __init__(
        self, executor: Executor, inputs: Mapping[Value, Tensor], wants: Sequence[Value], samples: int, capturer: Capturer
    ) -> None:
        self._executor, self._samples, self._wants = executor, samples, tuple(wants)
        self._inputs = {v: x.detach().clone() for v, x in inputs.items()}
        self._lock = threading.Lock()
        self.generation = 0

        def warm_up() -> None:
            for _ in range(_WARM_UP):
                tops, kept = self._run_forward()
                if kept is not None:
                    self._run_backward(kept, tops)

        with torch.no_grad():
            capturer.warm_up(warm_up)
            self._forward, (self._tops, self._kept) = capturer.capture(self._run_forward)
            if self._kept is not None:
                kept, self._seeds = self._kept, [torch.zeros_like(y) for y in self._tops]
                self._backward, self._gradients = capturer.capture(lambda: self._run_backward(kept, self._seeds))

    def _run_forward(self) -> tuple[list[Tensor], list[Any] | None]:
        kept: list[Any] | None = [] if self._wants else None
        call = Call(self._executor.kernels, self._inputs, self._samples)
        return self._executor._forward(call, dict(self._inputs), kept), kept

    def _run_backward(self, kept: list[Any], seeds: Sequence[Tensor]) -> list[Tensor | None]:
        sums = self._executor._backward(kept, seeds, again=True)
        return [sums.get(v) for v in self._wants]

    def forward(self, inputs: Sequence[Tensor]) -> tuple[list[Tensor], int]:
        """Return the wanted values, and the number of this forward pass."""
        with self._lock:
            self._replay_forward(inputs)
            return [y.clone() for y in self._tops], self.generation

    def _replay_forward(self, inputs: Sequence[Tensor]) -> None:
        self.generation += 1
        for static, x in zip(self._inputs.values(), inputs, strict=True):
            static.copy_(x)
        self._forward.replay()

    def backward(self, seeds: Sequence[Tensor | None], inputs: Sequence[Tensor], generation: int) -> dict[Value, Tensor | None]:
        """Return the gradients of a forward pass; where another one has run since, it is run again first."""
        with self._lock:
            if generation != self.generation:
                self._replay_forward(inputs)
            for static, seed in zip(self._seeds, seeds, strict=True):
                static.zero_() if seed is None else static.copy_(seed)
            self._backward.replay()
            return {v: None if g is None else g.clone() for v, g in zip(self._wants, self._gradients, strict=True)}

    def is_right(self) -> bool:
        """Return whether a replay gives what the executor gives now: not where the host, or chance, has a part in it."""
        with torch.no_grad():
            inputs = list(self._inputs.values())
            tops, kept = self._run_forward()
            found, generation = self.forward(inputs)
            pairs: list[tuple[Tensor | None, Tensor | None]] = list(zip(found, tops, strict=True))
            if kept is not None:
                gradients = self.backward(tops, inputs, generation)
                pairs += zip(gradients.values(), self._run_backward(kept, tops), strict=True)
        return all((a is None) == (b is None) and (a is None or b is None or _near(a, b)) for a, b in pairs)


def _near(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).norm() <= _FAR * b.norm())


class CapturedExecutor:
    """An executor whose passes are captured from the second of a shape on, and replayed.

    It runs them as ever where they cannot be captured, where a replay gives something else, while somebody holds the weights, and where
    shapes or weights change so often that capturing does not pay.

    Parameters
    ----------
    executor : Executor
        What computes.
    weights : sequence of Blob
        All that it reads.
    capturer : callable
        From a device to a new `Capturer`.
    """

    def __init__(self, executor: Executor, weights: Sequence[Blob], capturer: Callable[[torch.device], Capturer]) -> None:
        self._executor, self._capturer, self._stamp = executor, capturer, WeightStamp(weights)
        self._passes: dict[object, CapturedPass] = {}
        self._seen: set[object] = set()
        self.refused: dict[object, str] = {}
        """Why passes of a shape are not captured."""
        self.captured = self.replayed = 0

    def __call__(self, inputs: Mapping[Value, Tensor], samples: int = 1) -> dict[Value, Tensor]:
        """Compute the wanted values, differentiably where an input requires its gradient."""
        wants = [v for v, x in inputs.items() if x.requires_grad] if torch.is_grad_enabled() else []
        key = tuple((v, tuple(x.shape), x.dtype, x.device, v in wants) for v, x in inputs.items())
        captured = self._pass(key, inputs, wants, samples)
        if captured is None:
            return self._executor(inputs, samples)
        self.replayed += 1
        tops = _Replayed.apply(captured, list(inputs), *inputs.values())  # type: ignore[no-untyped-call]
        return dict(zip(self._executor.wanted, tops, strict=True))

    def _pass(self, key: object, inputs: Mapping[Value, Tensor], wants: Sequence[Value], samples: int) -> CapturedPass | None:
        if key in self.refused or not inputs:
            return None
        device = next(iter(inputs.values())).device
        if self._passes and not self._stamp.is_current(device):
            self._passes.clear()
        if key in self._passes:
            return self._passes[key]
        if key not in self._seen:
            self._seen.add(key)
            return None
        if self.captured >= _TRIED and self.replayed < _WORTH * self.captured:
            return None
        self._stamp.renew(device)
        if not self._stamp.is_current(device):  # somebody holds the weights, and may write at any moment
            return None
        self.captured += 1
        try:
            captured = CapturedPass(self._executor, inputs, wants, samples, self._capturer(device))
        except RuntimeError as problem:  # what cannot be captured, or memory that a second copy does not find
            self.refused[key] = str(problem)
            return None
        if not captured.is_right():
            self.refused[key] = "a replay does not give what the pass gives"
            return None
        if len(self._passes) >= _REMEMBERED:
            self._passes.pop(next(iter(self._passes)))
        self._passes[key] = captured
        return captured


class _Replayed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, captured: CapturedPass, names: list[Value], *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.captured, ctx.names = captured, names
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs)
        tops, ctx.generation = captured.forward(inputs)
        return tuple(tops)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *seeds: Tensor | None) -> tuple[Any, ...]:
        with torch.no_grad():
            gradients = ctx.captured.backward(seeds, ctx.saved_tensors, ctx.generation)
        return (None, None, *(gradients.get(v) for v in ctx.names))
