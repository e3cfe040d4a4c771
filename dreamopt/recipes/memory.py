"""How much memory a job takes, estimated from shapes: what cannot fit is refused before the first step, with what would fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dreamopt.errors import OutOfMemoryError, UsageError
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.network import Network
from dreamopt.optimize import Ascent
from dreamopt.parts.checks import Range, check_number
from dreamopt.parts.memory import free_memory, require_memory, used_memory
from dreamopt.recipes.stages import Stage, seen_by
from dreamopt.recipes.targets import Sample

if TYPE_CHECKING:
    from dreamopt.recipes.plan import Plan

# Measured on the embedded net from 500 to 2000 pixels: what a step holds, in multiples of the values that the net keeps for its backward
# pass, and of the image. The parametrization, the optimizer and the transforms each keep several images.
_LEAST, _LIKELY = (1.2, 30), (2.0, 55)
_PLAIN = 12
"""Images that gradient ascent on pixels keeps, measured likewise."""
_FRUGAL = 6
"""The same for `fills_memory`."""
_HUGE = 2**20  # pixels from which a dream is frugal
_SHARE, _LEAST_SHARE = 0.8, 0.125
"""Of the memory: what a job may take of what is free, and what the net's values get at the least."""
_VALUES = 0.75  # of what is left: the rest is for what a pass needs beside its values, and for gaps between them
_LEAST_VALUES = 1e6  # bytes: with less, few nets have a tile
_SMALL = 2**18  # pixels of images that are never cut


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
    layers, seen = _layers(samples, stage), seen_by(network, stage.size, stage.transforms)
    activations = network.memory_of(layers, seen) if layers else 0
    values = (activations or 0) * stage.views + 0.0
    image = 4.0 * network.input_shape[0] * math.prod(stage.size)
    least, likely = (factor * values + images * image for factor, images in (_LEAST, _LIKELY))
    return Need(stage.size, least, likely, stage.views)


def _layers(samples: Sequence[Sample], stage: Stage) -> list[str]:
    objectives = [sample.objective for sample in samples] if stage.target is None else [stage.target]
    return [*dict.fromkeys(layer for objective in objectives for layer in objective.layers)]


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
        largest.setdefault((stage.views, id(stage.target), *map(id, stage.transforms)), stage)
    return list(largest.values())


def checked_memory(memory: float | None) -> int | None:
    """Return how many bytes a job may take, as a whole number; UsageError for what is no number above 0."""
    # A petabyte, as on the command line; a job's file may say as much.
    return None if memory is None else int(check_number("memory", memory, Range(1, 1e15)))


def in_memory(plan: Plan, network: Network, memory: int | None = None, tile: Callable[[int, int], None] | None = None) -> Network:
    """Return the network with which a plan's images are made in the memory that there is: in tiles where they would take more.

    Parameters
    ----------
    plan : Plan
        The job.
    network : Network
        Its net; one that computes in tiles by itself stays as it is.
    memory : int, optional
        The most bytes that the program may take on the net's device, the libraries and the images' own tensors included. By default what
        is free.
    tile : callable, optional
        Called as ``tile(done, count)`` after each tile of a step.

    Raises
    ------
    OutOfMemoryError
        For a job that takes more than is free, and that cannot be computed in tiles, with what would fit.
    """
    if network.tile_memory is not None:
        return network
    device, images = str(network.device), bytes_of_images(plan, network)
    if memory is not None:
        return network.tiled(_even(max((memory - used_memory(device) - images) * _VALUES, memory * _LEAST_SHARE, _LEAST_VALUES)), tile)
    free = free_memory(device)
    if free is not None and images < free * _SHARE and math.prod(max(stage.size for stage in plan.stages)) >= _SMALL:
        needs = max(largest_need(plan, network, number).likely * _together(plan, number) for number in range(len(plan.batches)))
        if needs > free * _SHARE:
            tiled = network.tiled(_even(max((free * _SHARE - images) * _VALUES, free * _LEAST_SHARE)), tile)
            if _in_tiles(plan, tiled):
                return tiled
    require_room(plan, network)
    return network


def bytes_of_images(plan: Plan, network: Network) -> int:
    """Return what a job takes beside the net's values: parameters, gradients, the optimizer's memory and the like are images, too."""
    plain = isinstance(plan.parametrization, Pixels) and all(isinstance(stage.optimizer, Ascent) for stage in plan.stages)
    count = max(map(len, plan.batches)) * network.input_shape[0] * max(math.prod(stage.size) for stage in plan.stages)
    frugal = all(fills_memory(plan, stage, len(plan.batches[0])) for stage in _largest(plan.stages))
    return 4 * count * (_LIKELY[1] if not plain else _FRUGAL if frugal else _PLAIN)


def fills_memory(plan: Plan, stage: Stage, samples: int) -> bool:
    """Whether a stage's images are so large that nothing is kept beside the last ones: a dream's, whose last image is shown in any case."""
    return plan.recipe == "dream" and samples * math.prod(stage.size) >= _HUGE


def _in_tiles(plan: Plan, network: Network) -> bool:
    """Return whether the layers of a plan's targets can be computed in tiles."""
    try:
        for stage in _largest(plan.stages):
            seen = seen_by(network, stage.size, stage.transforms)
            network.tiling_of(_layers(plan.samples, stage), seen)
    except (UsageError, OutOfMemoryError):
        return False
    return True


def _even(count: float) -> int:
    """Return a number of bytes cut to eighths of a power of two, so that a job which is run again is likely to have the same tiles."""
    step = 2 ** max(0, int(math.log2(max(count, 1))) - 3)
    return int(count // step * step)


def _together(plan: Plan, batch: int) -> int:
    """Return how many samples of a batch can only be made together: one, or all where they are compared."""
    places = plan.batches[batch]
    return len(places) if plan.samples[places[0]].coupled else 1


def most_at_once(plan: Plan, network: Network, batch: int) -> int:
    """Return how many images of a batch are made at once: all of them, or as many as fit into the memory that is free."""
    count, free = len(plan.batches[batch]), free_memory(str(network.device))
    if free is None or network.tile_memory is not None or _together(plan, batch) == count:
        return count
    return min(count, max(1, int(free * _SHARE // largest_need(plan, network, batch).likely)))


def require_room(plan: Plan, network: Network) -> None:
    """Refuse a plan that takes more memory than is free, where not even one image of a batch fits.

    Raises
    ------
    OutOfMemoryError
        With a size and a number of samples that would fit.
    """
    for batch in dict.fromkeys((0, *sorted(range(len(plan.batches)), key=lambda number: -len(plan.batches[number]))[:1])):
        need, count = largest_need(plan, network, batch), _together(plan, batch)
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
