"""A render as runs that follow each other on the same image: octaves, from small to large, or stages."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dreamopt.errors import ShapeError, TargetError, UsageError
from dreamopt.image.sizes import seen_size
from dreamopt.image.transform import Transform
from dreamopt.network import Network
from dreamopt.network.maps import nearest_layer, reached
from dreamopt.objective import Objective
from dreamopt.objectives import Channel, ClassScore
from dreamopt.optimize.optimizer import Optimizer
from dreamopt.parts.checks import LARGEST_SIDE
from dreamopt.parts.part import field_names
from dreamopt.parts.schedule import StepContext
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.stage_settings import ordered
from dreamopt.regularizer import Regularizer, mask_at
from dreamopt.regularizers import Masked

Pair = tuple[int, int]


@dataclass(frozen=True)
class Stage:
    """One run of the optimizer: an octave, or a preset's stage.

    Parameters
    ----------
    size : (int, int)
        Height and width of the image.
    steps, optimizer, transforms, regularizers, views
        As in `dreamopt.recipes.Settings`.
    layers : tuple of str
        Names of layers of which the first that the net has takes the place of the target's.
    target : Objective or None
        What is maximised instead of a sample's objective.
    carry : {"enlarge", "add_detail"}
        What the run before hands over: its image, enlarged, or, for octaves, the detail that it added.
    """

    size: Pair
    steps: int
    optimizer: Optimizer
    transforms: tuple[Transform, ...] = ()
    regularizers: tuple[Regularizer, ...] = ()
    views: int = 1
    layers: tuple[str, ...] = ()
    target: Objective | None = None
    carry: Literal["enlarge", "add_detail"] = "enlarge"

    def retargeted(self, network: Network, objective: Objective) -> Objective:
        """Return the stage's target, or the objective at its layer, where it names one that the net has and that has the unit."""
        if self.target is not None:
            return self.target
        for layer in self.layers if "layer" in field_names(objective) else ():
            there: Objective = dataclasses.replace(objective, layer=layer)  # type: ignore[type-var]  # a part is a dataclass
            # Where transforms cut windows out, the net sees its file's size, whatever the image's is.
            for size in (self.size, None):
                with contextlib.suppress(TargetError, ShapeError):
                    _check_unit(network, there, size)
                    return there
        return objective


def _check_unit(network: Network, objective: Objective, size: Pair | None) -> None:
    """Raise TargetError or ShapeError where the net does not have the unit; units with a number are looked up without a bind."""
    if isinstance(objective, Channel | ClassScore) and isinstance(objective.unit, int):
        objective.checked_unit(network.shape_of(objective.layer, size))
    else:
        objective.bind(network, size)


def stages_of(settings: Settings, size: Pair) -> tuple[Stage, ...]:
    """Return the runs of a render whose image has (or begins with, for stages) this size.

    Raises
    ------
    UsageError
        For more octaves than the image has sizes, or a zoom that leaves no image.
    """
    sizes = [size]
    if settings.octaves > 1:
        scale = settings.octave_scale
        most = min(max(size), int(math.log(2 * max(size)) / math.log(scale)) + 1)
        if settings.octaves > most:
            octaves = f"{settings.octaves} octaves, each {scale} times smaller"
            raise UsageError(f"an image of {size[1]} x {size[0]} pixels has no {octaves}; the most are {most}")
        for _ in range(settings.octaves - 1):
            smaller = [max(1, round(side / scale)) for side in sizes[0]]
            sizes.insert(0, (smaller[0], smaller[1]))
        return tuple(_stage(settings, number, each, size, "add_detail") for number, each in enumerate(sizes))
    stages, first = [], size
    for number in range(settings.runs):
        one = settings.stage(number)
        zoomed = [side * one.zoom for side in size]
        if not all(0.5 < side <= LARGEST_SIDE for side in zoomed):
            what = f"zoom {one.zoom} of stage {number} turns an image of {size[1]} x {size[0]} pixels into none that can be made"
            raise UsageError(f"{what}; allowed are sides of 1 to {LARGEST_SIDE} pixels")
        size = (round(zoomed[0]), round(zoomed[1]))
        stages.append(_stage(settings, number, size, first, "enlarge"))
    return tuple(stages)


def _stage(settings: Settings, number: int, size: Pair, whole: Pair, carry: Literal["enlarge", "add_detail"]) -> Stage:
    """Return the run of a number at a size; ``whole`` is the size that masks belong to."""
    one = settings.stage(number)
    regularizers = (*ordered(one.regularizers), *(Masked(mask, whole) for mask in settings.masks))
    return Stage(size, one.steps, one.optimizer, one.transforms, regularizers, one.views, one.layer, one.target, carry)


def choose_size(network: Network, settings: Settings, objectives: Sequence[Objective], init_size: Pair | None = None) -> Pair:
    """Return the image's (H, W): as set; that of ``init``, or else the default one, where the net can take it; else the file's.

    Raises
    ------
    ShapeError
        Where the smallest octave is no size for the objectives' layers.
    """
    size = settings.size
    if size is None and init_size is not None:
        size = init_size if fits(network, settings, objectives, init_size) else None
    elif size is None and settings.default_size is not None:
        size = settings.default_size if fits(network, settings, objectives, settings.default_size) else None
    shape = network.item_shape(size)
    sizes = [stage.size for stage in stages_of(settings, (shape[1], shape[2]))]
    if settings.octaves > 1 and not fits(network, settings, objectives, sizes[0]):
        left = len(sizes) - bisect_left(sizes, True, key=lambda one: fits(network, settings, objectives, one))
        fewer = f"fewer octaves (the last {left} fit)" if left else "fewer octaves"
        layer = _layer_that_fits(network, settings, objectives, sizes[0])
        one_size = f"take one octave of the net's own size, {network.input_shape[2]} x {network.input_shape[1]}"
        raise ShapeError(
            f"the first of {settings.octaves} octaves, {sizes[0][1]} x {sizes[0][0]} pixels, does not reach up to {objectives[0]}"
            + (f", nor up to any layer below; {one_size}" if layer is None else f"; aim at {layer}")
            + f", or ask for {fewer} or a larger size"
        )
    return shape[1], shape[2]


def _layer_that_fits(network: Network, settings: Settings, objectives: Sequence[Objective], size: Pair) -> str | None:
    """Return in words a layer below those of the objectives that an image of a size reaches; None if there is none."""
    seen = seen_by(network, size, settings.stage(0).transforms)
    item = network.item_shape(seen)
    for layer in dict.fromkeys(layer for objective in objectives for layer in objective.layers):
        nearest = None if reached(network, layer, item) else nearest_layer(network, layer, item)
        if nearest is not None:
            return f"layer '{nearest}', the highest below '{layer}' that it reaches"
    return None


def fits(network: Network, settings: Settings, objectives: Sequence[Objective], size: int | Pair) -> bool:
    """Return whether the objectives' layers can be reached with an image of a size, as the first run's transforms show it."""
    layers = dict.fromkeys(layer for objective in objectives for layer in objective.layers)
    try:
        seen = seen_by(network, size, settings.stage(0).transforms)
        for layer in layers:
            network.shape_of(layer, seen)
    except ShapeError:
        return False
    return True


def seen_by(network: Network, size: int | Pair, transforms: Sequence[Transform]) -> Pair | None:
    """Return the (H, W) of what the net sees of an image of a size through transforms; None where its input is no image."""
    space = network.image_space(size)
    if len(space.shape) != 3:
        return None
    height, width = seen_size(transforms, space, StepContext(space=space))
    return height, width


def resized(images: Tensor, size: Pair, order: int) -> Tensor:
    """Return images (N, C, H, W) at another size by spline interpolation of an order, as `scipy.ndimage.zoom` does it."""
    if tuple(images.shape[2:]) == size:
        return images
    from scipy import ndimage

    factors = (1.0, 1.0, size[0] / images.shape[2], size[1] / images.shape[3])
    return torch.from_numpy(ndimage.zoom(images.cpu().numpy(), factors, order=order)).to(images)


def pyramid(images: Tensor, stages: Sequence[Stage]) -> list[Tensor]:
    """Return the images at every octave's size, each made from the one of the next size (DeepDream's octaves).

    References
    ----------
    .. [1] google/deepdream, ``dream.ipynb``, ``deepdream`` (zoom of order 1).
    """
    levels = [images]
    for stage in reversed(stages[:-1]):
        levels.insert(0, resized(levels[0], stage.size, order=1))
    return levels


def open_only(images: Tensor, level: Tensor, stage: Stage) -> Tensor:
    """Return the images, and the octave's own, ``level``, where masks let nothing change: a scaled detail reaches beyond them."""
    for mask in (part for part in stage.regularizers if isinstance(part, Masked)):
        images = torch.where(torch.from_numpy(mask_at(mask.mask, stage.size, mask.of) > 0).to(images.device), images, level)
    return images


def carry_over(images: Tensor, stages: Sequence[Stage], number: int, levels: Sequence[Tensor] | None) -> Tensor:
    """Return the images that a run begins with: octaves carry what the one before added, stages enlarge the image."""
    if levels is None:
        return resized(images, stages[number].size, order=3)
    carried = resized(images - levels[number - 1], stages[number].size, order=1).add_(levels[number])
    return open_only(carried, levels[number], stages[number])
