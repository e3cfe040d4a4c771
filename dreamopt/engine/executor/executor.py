"""A run of kernels and its backward pass as one autograd function.

Autograd would keep a node for each layer, add up gradients in new memory, and know nothing of the layer after the next.
An executor knows what comes: kernels that span several layers, and gradients that are added where they lie. The price: weights
are constants, and the gradient itself cannot be differentiated again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from dreamopt.engine.graph import Value
from dreamopt.engine.layers._axes import channels_last


class Kernel:
    """One step of an executor: what one or more layers compute, and its backward pass.

    Parameters
    ----------
    reads, writes : sequence of Value
        What it takes and what it makes.
    """

    owns_gradient: bool = False
    """Whether what `backward` returns is new memory, so that other gradients may be added into it."""
    adds: ClassVar[bool] = False
    """Whether `backward` of this kernel, which reads one value, adds to a gradient that is already there."""

    def __init__(self, reads: Sequence[Value], writes: Sequence[Value]) -> None:
        self.reads = tuple(reads)
        self.writes = tuple(writes)

    def forward(self, xs: Sequence[Tensor]) -> tuple[Sequence[Tensor], Any]:
        """Return the values written, and whatever `backward` is to be given."""
        raise AssertionError(f"{type(self).__name__} does not say how it computes")

    def backward(self, kept: Any, grads: Sequence[Tensor | None], into: Tensor | None) -> Sequence[Tensor | None]:
        """Return the gradients of the values read, from those of the values written (at least one is not None).

        ``into``, for a kernel that `adds`: the gradient so far, which may be written; it is to be part of the result.
        """
        raise AssertionError(f"{type(self).__name__} does not say its backward pass")


class Executor:
    """Kernels in order, called as a function from the inputs to the wanted values.

    Parameters
    ----------
    kernels : sequence of Kernel
        In the order of the net.
    wanted : sequence of Value
        What a call returns.
    """

    def __init__(self, kernels: Sequence[Kernel], wanted: Sequence[Value]) -> None:
        self.kernels = list(kernels)
        self.wanted = list(dict.fromkeys(wanted))
        last = {v: i for i, kernel in enumerate(self.kernels) for v in kernel.reads}
        self._dies: list[list[Value]] = [[] for _ in self.kernels]
        for v, i in last.items():
            if v not in self.wanted:
                self._dies[i].append(v)

    def __call__(self, inputs: Mapping[Value, Tensor]) -> dict[Value, Tensor]:
        """Compute the wanted values, differentiably where an input requires its gradient."""
        if torch.is_grad_enabled() and any(x.requires_grad for x in inputs.values()):
            outs = _Run.apply(self, list(inputs), *inputs.values())  # type: ignore[no-untyped-call]
        else:
            with torch.no_grad():
                outs = self._forward(dict(inputs), None)
        return dict(zip(self.wanted, outs, strict=True))

    def _forward(self, values: dict[Value, Tensor], kept: list[Any] | None) -> list[Tensor]:
        for kernel, dies in zip(self.kernels, self._dies, strict=True):
            outs, keep = kernel.forward([values[v] for v in kernel.reads])
            values.update(zip(kernel.writes, outs, strict=True))
            if kept is not None:
                kept.append(keep)
            del outs, keep
            for v in dies:
                values.pop(v)
        return [values[v] for v in self.wanted]

    def _backward(self, kept: Sequence[Any], seeds: Sequence[Tensor | None]) -> dict[Value, Tensor]:
        sums = {v: channels_last(g) for v, g in zip(self.wanted, seeds, strict=True) if g is not None}
        owned: set[Value] = set()  # sums in memory of our own

        def free(v: Value, *others: Tensor | None) -> bool:
            """Whether nobody else holds the sum: a Sum gives both its bottoms one tensor."""
            return v in owned and not any(g is sums[v] for g in (*others, *(g for u, g in sums.items() if u != v)))

        for kernel, keep in zip(reversed(self.kernels), reversed(kept), strict=True):
            grads = [sums.pop(v, None) for v in kernel.writes]
            if all(g is None for g in grads):
                continue
            if not kernel.reads:
                continue  # a layer that makes data
            target = kernel.reads[0]
            into = sums[target] if kernel.adds and target in sums and free(target, *grads) else None
            found = kernel.backward(keep, grads, into)
            if into is not None:
                (total,) = found
                assert total is not None
                sums[target] = total
                continue
            for v, g in zip(kernel.reads, found, strict=True):
                if g is None:
                    continue
                if v not in sums:
                    sums[v] = g
                    if kernel.owns_gradient:
                        owned.add(v)
                elif free(v):
                    sums[v].add_(g)
                else:
                    sums[v] = sums[v] + g
                    owned.add(v)
        return sums


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, executor: Executor, names: list[Value], *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.executor, ctx.names, ctx.kept = executor, names, []
        ctx.set_materialize_grads(False)
        # detached: a kernel may keep what it wrote, and that must not hold the graph that holds it
        return tuple(y.detach() for y in executor._forward(dict(zip(names, inputs, strict=True)), ctx.kept))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *seeds: Tensor | None) -> tuple[Any, ...]:
        with torch.no_grad():
            sums = ctx.executor._backward(ctx.kept, seeds)
        return (None, None, *(sums.get(v) for v in ctx.names))
