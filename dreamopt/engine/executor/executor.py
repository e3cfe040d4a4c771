"""A run of kernels and its backward pass as one autograd function.

Autograd would keep a node for each layer, add up gradients in new memory, and know nothing of the layer after the next.
An executor knows what comes: kernels that span several layers, and gradients that are added where they lie. The price: weights
are constants, and the gradient itself cannot be differentiated again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from dreamopt.engine.executor.gradients import Gradients
from dreamopt.engine.executor.placement import Outs, Placement, Propagate
from dreamopt.engine.executor.recording import Recordings
from dreamopt.engine.graph import Value
from dreamopt.parts.threads import of_a_pass

if TYPE_CHECKING:
    from dreamopt.engine.blob import Blob
    from dreamopt.engine.layer import Shape


@dataclass
class Call:
    """What kernels may ask of one call of an executor.

    Parameters
    ----------
    kernels : sequence of Kernel
        The executor's.
    inputs : mapping of Value to Tensor
        What it is called with.
    samples : int
        How many samples the batch has.
    acted : dict, optional
        Where backward rules record for which samples, by layer, they changed the gradient.
    """

    kernels: Sequence[Kernel]
    inputs: Mapping[Value, Tensor]
    samples: int = 1
    acted: dict[str, Tensor] | None = None

    @cached_property
    def moved(self) -> set[Value]:
        """What depends on an input whose gradient is wanted; a call without rules does not ask."""
        moved = {v for v, x in self.inputs.items() if x.requires_grad}
        for kernel in self.kernels:
            if not moved.isdisjoint(kernel.reads):
                moved.update(kernel.writes)
        return moved


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
    splits: ClassVar[bool] = False
    """Whether what `backward` returns are parts of the gradient of the one value written, which do not overlap."""
    places: ClassVar[bool] = False
    """Whether `forward` writes values where it is asked to, so that they may be slices of the memory of a Concat's top."""
    joins: ClassVar[bool] = False
    """Whether its one value may be the values read one behind the other, which then lie in its memory if they were placed there."""

    recordable: bool = False
    """Whether what it calls depends on shapes and layouts alone, and is native kernels and torch's operators (`recording`)."""

    shares_gradient: ClassVar[bool] = False
    """Whether what `backward` returns is one and the same gradient for all values read, that of the value written or written over it."""
    written_over: Value | None = None
    """Of the values read, that in whose memory the one value written lies, since nobody else reads or keeps it."""

    def __init__(self, reads: Sequence[Value], writes: Sequence[Value]) -> None:
        self.reads = tuple(reads)
        self.writes = tuple(writes)

    def forward(self, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Return the values written, and what `backward` is to be given.

        Parameters
        ----------
        xs : sequence of Tensor
            The values read. They may be slices of other tensors' channels.
        keep : bool
            Whether `backward` follows; it is given as little as it needs, and None otherwise.
        outs : sequence of Tensor or None
            Only for a kernel that `places`: where to write the values, one for each or none at all; a slice of channels of four axes of
            32-bit floats, channels-last (`dreamopt.engine.native.layout`). A value that is written elsewhere costs a copy later.
        """
        raise AssertionError(f"{type(self).__name__} does not say how it computes")

    def run(self, call: Call, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Do as `forward`, in a call that a kernel may look at; most do not."""
        return self.forward(xs, keep, outs) if outs else self.forward(xs, keep)

    def joins_channels(self, shape: Shape) -> bool:
        """Return whether the value, of this shape, is the values read with their channels, axis 1, one behind the other."""
        return False

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Return the gradients of the values read, from those of the values written (at least one is not None).

        Parameters
        ----------
        kept : object
            What `forward` gave.
        grads : sequence of Tensor or None
            Of the values written.
        mine : sequence of bool
            Which of them may be written to.
        into : Tensor, optional
            For a kernel that `adds`: the gradient so far, which may be written; it is to be part of the result.
        """
        raise AssertionError(f"{type(self).__name__} does not say its backward pass")

    def keeps(self, shapes: Mapping[Value, Shape]) -> int:
        """Return how many bytes wait for `backward`, from the shapes of the values; by default those of all that is read and written."""
        return sum(4 * math.prod(shapes[v]) for v in (*self.reads, *self.writes))

    def works_in(self, shapes: Mapping[Value, Shape]) -> int:
        """Return how many bytes `backward` takes while it runs, but for what it returns; none by default."""
        return 0


class Executor:
    """Kernels in order, called as a function from the inputs to the wanted values.

    Parameters
    ----------
    kernels : sequence of Kernel
        In the order of the net.
    wanted : sequence of Value
        What a call returns.
    propagate : callable, optional
        From the shapes of the inputs to those of all values, where they tell them; values are placed by them (`Placement`).
    blobs : sequence of Blob, optional
        All weights that the kernels compute with; without them no pass is recorded (`Recordings`).
    """

    def __init__(
        self, kernels: Sequence[Kernel], wanted: Sequence[Value], propagate: Propagate | None = None, blobs: Sequence[Blob] | None = None
    ) -> None:
        self.kernels = list(kernels)
        self.wanted = list(dict.fromkeys(wanted))
        self.placement = Placement(self.kernels, set(self.wanted), propagate)
        self.recordings = Recordings(blobs if all(kernel.recordable for kernel in self.kernels) else None)
        last = {v: i for i, kernel in enumerate(self.kernels) for v in kernel.reads}
        self.dies: list[list[Value]] = [[] for _ in self.kernels]
        for v, i in last.items():
            if v not in self.wanted:
                self.dies[i].append(v)

    def __call__(self, inputs: Mapping[Value, Tensor], samples: int = 1, acted: dict[str, Tensor] | None = None) -> dict[Value, Tensor]:
        """Compute the wanted values, differentiably where an input requires its gradient; for ``samples`` and ``acted`` see `Call`."""
        call = Call(self.kernels, inputs, samples, acted)
        if torch.is_grad_enabled() and any(x.requires_grad for x in inputs.values()):
            outs = _Run.apply(self, call, list(inputs), *inputs.values())  # type: ignore[no-untyped-call]
        else:
            with torch.no_grad(), of_a_pass():
                outs = self._forward(call, dict(inputs), None)
        return dict(zip(self.wanted, outs, strict=True))

    def _forward(self, call: Call, values: dict[Value, Tensor], kept: list[Any] | None) -> list[Tensor]:
        places = self.placement.start(values)
        for i, (kernel, dies) in enumerate(zip(self.kernels, self.dies, strict=True)):
            outs = places.outs(i, kernel.writes) if places is not None else ()
            tops, keep = kernel.run(call, [values[v] for v in kernel.reads], kept is not None, outs)
            values.update(zip(kernel.writes, tops, strict=True))
            if kept is not None:
                kept.append(keep)
            del outs, tops, keep
            for v in dies:
                values.pop(v)
        return [values[v] for v in self.wanted]

    def _backward(self, kept: list[Any], seeds: Sequence[Tensor | None], again: bool) -> Gradients:
        """Return the gradients of the inputs; without ``again``, what each kernel kept is dropped once it was used."""
        sums = Gradients({v: g for v, g in zip(self.wanted, seeds, strict=True) if g is not None})
        for i in reversed(range(len(self.kernels))):
            kernel, keep = self.kernels[i], kept[i]
            if not again:
                kept.pop()
            grads, mine = sums.take(kernel.writes)
            # A layer that reads nothing makes data.
            if not kernel.reads or all(g is None for g in grads):
                continue
            target = kernel.reads[0]
            into = sums.target(target, *grads) if kernel.adds else None
            found = kernel.backward(keep, grads, mine, into)
            part = object() if kernel.splits else None
            owned = all(mine) if kernel.splits else kernel.owns_gradient
            del grads, keep
            if into is not None:
                (total,) = found
                assert total is not None
                sums.replace(target, total)
                continue
            for v, g in zip(kernel.reads, found, strict=True):
                if g is not None:
                    sums.add(v, g, owned, part)
            del found
        return sums


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, executor: Executor, call: Call, names: list[Value], *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.executor, ctx.names, ctx.kept, ctx.is_done = executor, names, [], False
        ctx.set_materialize_grads(False)
        values = dict(zip(names, inputs, strict=True))
        with of_a_pass():
            ctx.key = executor.recordings.key(values)
            ctx.recorded = executor.recordings.start(ctx.key, values, partial(executor._forward, call))
            if ctx.recorded is not None:
                return tuple(ctx.recorded.outs())
            # detached: a kernel may keep what it wrote, and that must not hold the graph that holds it
            return tuple(y.detach() for y in executor._forward(call, values, ctx.kept))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *seeds: Tensor | None) -> tuple[Any, ...]:
        executor, again = ctx.executor, _keeps_graph()
        if ctx.is_done:
            raise RuntimeError("the backward pass has been made, and what it needs is freed; ask for the first with retain_graph=True")
        ctx.is_done = not again
        with torch.no_grad(), of_a_pass():
            if ctx.recorded is not None:
                found = ctx.recorded.backward(executor._backward, seeds, ctx.names)
            else:
                sums = executor._backward(ctx.kept, seeds, again)
                found = [sums.get(v) for v in ctx.names]
        if not again:
            if ctx.recorded is None:
                executor.recordings.has_met(ctx.key)
            ctx.recorded = None
        return (None, None, None, *found)


def _keeps_graph() -> bool:
    """Whether the backward pass under way may be made again (``retain_graph``); True where torch does not say it."""
    ask = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
    return ask is None or bool(ask())
