"""How much memory a pass of an executor takes, from the shapes of its values."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from dreamopt.engine.graph import Value

if TYPE_CHECKING:
    from dreamopt.engine.executor.executor import Executor
    from dreamopt.engine.layer import Shape

_HEAP = 1.4
"""What the process grows by, measured, over what is in use at once: holes that nothing fits into."""

_OBJECTIVE = 3
"""How many tensors as large as the wanted values an objective and its gradient take."""


def footprint(executor: Executor, shapes: Mapping[Value, Shape], inputs: Collection[Value], gradient: bool) -> int:
    """Return how many bytes a pass has in use at most at once: values, what waits for the backward pass, gradients.

    Parameters
    ----------
    executor : Executor
        Its kernels say what they keep (`Kernel.keeps`) and what they take while they work (`Kernel.works_in`).
    shapes : mapping of Value to Shape
        Of all values.
    inputs : collection of Value
        Given from outside, and alive all the time.
    gradient : bool
        Whether the backward pass follows.
    """
    size = {v: 4 * math.prod(shape) for v, shape in shapes.items()}
    alive = {v: size[v] for v in inputs}
    kept, most = 0, 0
    for kernel, dies in zip(executor.kernels, executor.dies, strict=True):
        if kernel.written_over is not None and kernel.written_over not in inputs:
            alive.pop(kernel.written_over, None)
        alive |= {v: size[v] for v in kernel.writes}
        most = max(most, sum(alive.values()) + kept)
        if gradient:
            kept += kernel.keeps(shapes)
        for v in dies:
            if v not in inputs:
                alive.pop(v, None)
    if gradient:
        sums = {v: size[v] for v in executor.wanted}
        held = sum(alive.values())
        for kernel in reversed(executor.kernels):
            # Where a gradient is there already, it may be added in its place; not where the kernel returns one of its own.
            new = 0 if kernel.splits or kernel.shares_gradient else sum(size[v] for v in kernel.reads if v not in sums or not kernel.adds)
            most = max(most, held + kept + sum(sums.values()) + new + kernel.works_in(shapes))
            kept -= kernel.keeps(shapes)
            for v in kernel.writes:
                sums.pop(v, None)
            shared = kernel.reads[1:] if kernel.shares_gradient else ()
            sums |= {v: 0 if v in shared and v not in sums else size[v] for v in kernel.reads}
    return most


def likely_footprint(executor: Executor, shapes: Mapping[Value, Shape], inputs: Collection[Value]) -> int:
    """Return how many bytes the process grows by in a forward and a backward pass, nearly.

    With holes in the heap, and what an objective makes of the values.
    """
    extra = _OBJECTIVE * sum(4 * math.prod(shapes[v]) for v in executor.wanted)
    return int(_HEAP * footprint(executor, shapes, inputs, gradient=True)) + extra
