"""A net whose passes take bounded memory: which plan an image is computed by, and what happens when memory runs out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from dreamopt.backends.base import Backend, BackwardRule, NetGraph
from dreamopt.errors import OutOfMemoryError, UsageError
from dreamopt.network.tiling.choice import Choice
from dreamopt.network.tiling.plan import Layout, TilePlan
from dreamopt.network.tiling.sweep import Kept, Sweep, from_gradients, from_objective, into_maps
from dreamopt.objective import Objective
from dreamopt.parts.memory import is_out_of_memory, readable, release_memory

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called after each tile with how many are done in this step, and of how many."""
_SMALLER = 0.7  # of the memory that ran out
_LAYOUTS = 8


class Tiler:
    """Computes images of any size by plans that take at most so many bytes.

    Parameters
    ----------
    backend : Backend
        The net.
    graph : NetGraph
        Of its layers.
    memory : int
        Bytes.
    progress : callable, optional
        Called after each tile of an image that is not computed at once.

    Attributes
    ----------
    memory : int
        As given, or less where a pass has run out of it. The plans depend on it, the targets and the size alone.
    """

    def __init__(self, backend: Backend, graph: NetGraph, memory: int, progress: Progress | None = None) -> None:
        self.backend, self.graph, self.memory, self.progress = backend, graph, memory, progress
        self._choices: dict[tuple[tuple[str, ...], tuple[int, int]], Choice] = {}
        self._layouts: dict[tuple[tuple[str, ...], tuple[int, int], int], Layout] = {}

    def plan(self, targets: Sequence[str], size: tuple[int, int]) -> TilePlan:
        """Return the plan for some layers of an image (H, W)."""
        return self.layout(targets, size).plan

    def is_whole(self, targets: Sequence[str], size: tuple[int, int], samples: int) -> bool:
        """Return whether so many images are computed at once; of several that do not fit together, each is computed by itself."""
        return self._choice(targets, size).whole * samples <= self.memory

    def bytes_at_once(self, targets: Sequence[str], size: tuple[int, int]) -> float:
        """Return what a pass of a whole image takes."""
        return self._choice(targets, size).whole

    def bytes(self, targets: Sequence[str], size: tuple[int, int]) -> int:
        """Return what a pass takes by its plan."""
        layout = self.layout(targets, size)
        choice = self._choice(targets, size)
        return int(choice.whole if layout.plan.is_whole else choice.takes(layout))

    def _choice(self, targets: Sequence[str], size: tuple[int, int]) -> Choice:
        key = (tuple(targets), size)
        if key not in self._choices:
            self._choices[key] = Choice(self.backend, self.graph, targets, size)
        return self._choices[key]

    def layout(self, targets: Sequence[str], size: tuple[int, int]) -> Layout:
        """Return the crops and tiles of an image (H, W) for some layers.

        Raises
        ------
        UsageError
            If a layer may see all of the image at once.
        OutOfMemoryError
            If no tile is small enough.
        """
        key = (tuple(targets), size, self.memory)
        if key not in self._layouts:
            plan = self._choice(targets, size).plan(self.memory)
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            self._layouts[key] = Layout(self.backend, self.graph, targets, plan, size)
        return self._layouts[key]

    def activations(self, x: Tensor, targets: Sequence[str], rule: BackwardRule | None) -> dict[str, Tensor]:
        """Return the values of layers for images (N, C, H, W), differentiable; each tile is computed twice, for value and gradient."""
        values = _Values.apply(x, self, tuple(targets), rule)  # type: ignore[no-untyped-call]  # torch does not type Function.apply
        return dict(zip(targets, values, strict=True))

    def score(self, x: Tensor, objective: Objective, views: int) -> Tensor:
        """Return the values (N,) of an objective that adds up over places, for ``views`` images of each sample; each tile is computed once.

        Their gradient is computed on the way, for the value's sum over the samples of whatever is made of them later.
        """
        value: Tensor = _Score.apply(x, self, objective, views)  # type: ignore[no-untyped-call]  # torch does not type Function.apply
        return value

    def run(self, targets: Sequence[str], x: Tensor, rule: BackwardRule | None, work: Callable[[Layout], T]) -> T:
        """Return what some work makes of the layout, which becomes finer where memory runs out."""
        size = (x.shape[2], x.shape[3])
        while True:
            layout = self.layout(targets, size)
            if rule is not None and not rule.additive and not layout.plan.is_whole:
                whole = readable(self._choice(targets, size).whole)
                raise UsageError(
                    f"the gradients of rule {rule} need not add up over tiles, so that {', '.join(targets)} cannot be computed in tiles "
                    f"with it; leave it out, take a smaller image, or give memory for the whole one: {whole}"
                )
            try:
                result = work(layout)
                if not layout.plan.is_whole and x.device.type == "cpu":
                    release_memory()
                return result
            except (MemoryError, RuntimeError) as problem:
                if not is_out_of_memory(problem):
                    raise
                # Frames that have ended would keep what they had computed.
                traceback.clear_frames(problem.__traceback__)
                if not self.shrink(targets, size, 1):
                    raise

    def shrink(self, targets: Sequence[str], size: tuple[int, int], samples: int) -> bool:
        """Go by less memory, so that images of a size are computed in smaller tiles; False where none is smaller."""
        was, whole = self.memory, self.is_whole(targets, size, samples)
        while True:
            try:
                takes = self._choice(targets, size).whole * samples if whole else self.bytes(targets, size)
                before = self.layout(targets, size).plan
                self.memory = int(min(self.memory, takes) * _SMALLER)
                if self.layout(targets, size).plan != before or whole:
                    return True
            except (OutOfMemoryError, UsageError):
                self.memory = was
                return False

    def ticker(self, total: int, done: int = 0) -> Callable[[], None] | None:
        """Return what counts the tiles of a step for `progress`."""
        if self.progress is None or total <= 1:
            return None
        progress, count = self.progress, done

        def tick() -> None:
            nonlocal count
            count += 1
            progress(count, total)

        return tick


class _Values(torch.autograd.Function):
    """The values of layers, tile by tile; the backward pass computes each tile again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, tiler: Tiler, targets: tuple[str, ...], rule: BackwardRule | None) -> tuple[Tensor, ...]:
        """Compute the maps."""
        ctx.save_for_backward(x)
        ctx.tiler, ctx.targets, ctx.rule = tiler, targets, rule
        ctx.set_materialize_grads(False)

        def work(layout: Layout) -> tuple[dict[str, Tensor], list[Kept | None], tuple[int, int]]:
            forward, backward = layout.counts()
            total = len(x) * (forward + (backward if ctx.needs_input_grad[0] else 0))
            sweep = Sweep(layout, rule, tiler.ticker(total))
            maps = {name: x.new_empty((len(x), *layout.shapes[name])) for name in targets}
            graphs = []
            for n in range(len(x)):
                look = into_maps({name: values[n : n + 1] for name, values in maps.items()})
                graphs.append(sweep.values(x[n : n + 1], look, keep=ctx.needs_input_grad[0] and len(x) == 1))
            return maps, graphs, (len(x) * forward, total)

        maps, ctx.graphs, ctx.counts = tiler.run(targets, x, rule, work)
        return tuple(maps[name] for name in targets)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        """Add up the crops' gradients."""
        (x,) = ctx.saved_tensors
        given = {name: gradient for name, gradient in zip(ctx.targets, gradients, strict=True) if gradient is not None}
        if not given:
            return None, None, None, None
        graphs, ctx.graphs = ctx.graphs, [None] * len(x)  # which serve once

        def work(layout: Layout) -> Tensor:
            done, total = ctx.counts
            sweep, result = Sweep(layout, ctx.rule, ctx.tiler.ticker(total, done)), torch.zeros_like(x)
            for n in range(len(x)):
                graph, graphs[n] = graphs[n], None
                seeding = from_gradients({name: gradient[n : n + 1] for name, gradient in given.items()})
                sweep.gradient(x[n : n + 1], seeding, result[n : n + 1], graph)
            return result

        return ctx.tiler.run(ctx.targets, x, ctx.rule, work), None, None, None


class _Score(torch.autograd.Function):
    """The values of an objective that adds up over places, and their gradient, each tile forward and backward in one go."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, tiler: Tiler, objective: Objective, views: int) -> Tensor:
        """Compute both."""
        ctx.views = views

        def work(layout: Layout) -> tuple[Tensor, Tensor | None]:
            wanted = ctx.needs_input_grad[0]
            forward, backward = layout.counts()
            sweep = Sweep(layout, None, tiler.ticker(len(x) * (backward if wanted else forward)))
            gradient = torch.zeros_like(x) if wanted else None
            values = []
            for n in range(len(x)):
                parts: list[Tensor] = []
                seeding = from_objective(layout, objective.item(n // views), parts)
                if gradient is None:
                    sweep.values(x[n : n + 1], lambda *tile, seeding=seeding: seeding(*tile) and None)
                else:
                    sweep.gradient(x[n : n + 1], seeding, gradient[n : n + 1])
                values.append(torch.stack(parts).sum() if parts else x.new_zeros(()))
            return torch.stack(values).reshape(-1, views).mean(1), gradient

        value, ctx.gradient = tiler.run(objective.layers, x, None, work)
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None]:
        """Return the gradient that the forward pass left, times that of the values."""
        left = ctx.gradient
        if left is None:
            return None, None, None, None
        factors = (gradient / ctx.views).repeat_interleave(ctx.views)
        # The image's gradient is as large as the image, and a factor of 1 is the rule.
        return (left if bool((factors == 1).all()) else left * factors.reshape(-1, 1, 1, 1)), None, None, None
