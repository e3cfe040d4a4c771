"""How much memory a job takes, estimated from shapes: what cannot fit is refused before the first step, with what would fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dreamopt.errors import OutOfMemoryError
from dreamopt.network import Network
from dreamopt.parts.memory import free_memory, require_memory
from dreamopt.recipes.stages import Stage, seen_by
from dreamopt.recipes.targets import Sample

if TYPE_CHECKING:
    from dreamopt.recipes.plan import Plan

# Measured on the embedded net from 500 to 2000 pixels: what a step holds, in multiples of the values that the net keeps for its backward
# pass, and of the image. The parametrization, the optimizer and the transforms each keep several images.
_LEAST, _LIKELY = (1.2, 30), (2.0, 55)


@dataclass(frozen=True)
class Need:
    """What one sample of a stage takes, in bytes.

    Parameters
    ----------
    size : (int, int)
        (H, W) of the image.
    least, likely : float
        Below the first nothing works; the second is what was measured on other nets.
    views : int
        Views that each step averages over: the net sees them all at once.
    """

    size: tuple[int, int]
    least: float
    likely: float
    views: int = 1


def need_of(network: Network, samples: Sequence[Sample], stage: Stage) -> Need:
    """Return what one sample of a batch takes in a stage."""
    layers = dict.fromkeys(layer for sample in samples for layer in sample.objective.layers)
    seen = seen_by(network, stage.size, stage.transforms)
    activations = network.memory_of([*layers], seen) if layers else 0
    values = (activations or 0) * stage.views + 0.0
    image = 4.0 * network.input_shape[0] * math.prod(stage.size)
    least, likely = (factor * values + images * image for factor, images in (_LEAST, _LIKELY))
    return Need(stage.size, least, likely, stage.views)


def largest_need(plan: Plan, network: Network, batch: int) -> Need:
    """Return what one sample of a batch takes in the stage that takes most."""
    samples = [plan.samples[place] for place in plan.batches[batch]]
    most = max((need_of(network, samples, stage) for stage in _largest(plan.stages)), key=lambda need: need.least)
    if plan.stages[0].carry == "add_detail":  # the image is kept at every octave's size
        levels = 4.0 * network.input_shape[0] * sum(math.prod(stage.size) for stage in plan.stages)
        most = replace(most, least=most.least + levels, likely=most.likely + levels)
    return most


def _largest(stages: Sequence[Stage]) -> list[Stage]:
    """Return the stages of which one takes most: of those that differ in size alone, as thousands of octaves may, the largest."""
    largest: dict[tuple[int, ...], Stage] = {}
    for stage in sorted(stages, key=lambda stage: -math.prod(stage.size)):
        largest.setdefault((stage.views, *map(id, stage.transforms)), stage)
    return list(largest.values())


def require_room(plan: Plan, network: Network) -> None:
    """Refuse a plan that takes more memory than is free.

    Raises
    ------
    OutOfMemoryError
        With a size and a number of samples that would fit.
    """
    for batch in dict.fromkeys((0, *sorted(range(len(plan.batches)), key=lambda number: -len(plan.batches[number]))[:1])):
        need, count = largest_need(plan, network, batch), len(plan.batches[batch])
        what = f"a batch of {count} image{'s' if count > 1 else ''} of {need.size[1]} x {need.size[0]} pixels"
        require_memory(need.least * count, what, str(network.device), lambda free, need=need, count=count: fitting(need, count, free))  # type: ignore[misc]  # defaults bind them


def with_hint(problem: OutOfMemoryError, plan: Plan, network: Network, batch: int) -> OutOfMemoryError:
    """Return an error of memory in a batch as one that says what would fit."""
    free = free_memory(str(network.device))
    if free is None:
        return problem
    return OutOfMemoryError(f"{problem}; {fitting(largest_need(plan, network, batch), len(plan.batches[batch]), free)}")


def fitting(need: Need, count: int, free: float) -> str:
    """Return what would fit into the memory that is free, in words.

    >>> fitting(Need((1000, 2000), 5e9, 8e9), 4, 16e9)
    'a batch of 2 would fit (batch_size), or images of about 1400 x 700 pixels'
    >>> fitting(Need((1000, 2000), 5e9, 8e9), 1, 2e9)
    'images of about 1000 x 500 pixels would fit'
    """
    shrink = math.sqrt(min(1.0, free / (need.likely * count)))
    height, width = (max(1, _rounded(side * shrink)) for side in need.size)
    most = int(free // need.likely)
    if need.views > 1:
        return f"fewer than {need.views} views would fit, or images of about {width} x {height} pixels"
    if 1 <= most < count:
        return f"a batch of {most} would fit (batch_size), or images of about {width} x {height} pixels"
    return f"images of about {width} x {height} pixels would fit"


def _rounded(side: float) -> int:
    """Return a length cut to two digits, so that it does not look exact."""
    step = 10 ** max(0, int(math.log10(max(side, 1))) - 1)
    return int(side // step * step)
