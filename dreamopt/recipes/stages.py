"""A rendering as climbs that follow each other on the same picture: octaves, from small to large, or stages."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy import ndimage
from torch import Tensor

from dreamopt.errors import ShapeError, TargetError, UsageError
from dreamopt.image.files import covering, read_image
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.problem import Problem
from dreamopt.recipes.settings import Settings

Pair = tuple[int, int]


@dataclass(frozen=True)
class Leg:
    """One climb of a rendering.

    Parameters
    ----------
    settings : Settings
        Its own.
    size : (int, int)
        Height and width of the picture.
    number, count : int
        Which climb it is, from 0, and of how many.
    layers : tuple of str
        Names of layers of which the first that the net has takes the place of the target's.
    """

    settings: Settings
    size: Pair
    number: int = 0
    count: int = 1
    layers: tuple[str, ...] = ()

    def aimed(self, network: Network, objective: Objective) -> Objective:
        """Return the objective at this leg's layer, where it names one that the net has and that has the unit."""
        for layer in self.layers if "layer" in getattr(type(objective), "__dataclass_fields__", {}) else ():
            aimed: Objective = dataclasses.replace(objective, layer=layer)  # type: ignore[type-var]
            # Where transforms cut windows out, the net sees its file's size, whatever the picture's is.
            for size in (self.size, None):
                with contextlib.suppress(TargetError, ShapeError):
                    aimed.bind(network, size)
                    return aimed
        return objective


def plan(settings: Settings, size: Pair) -> list[Leg]:
    """Return the climbs of a rendering whose picture has (or begins with, for stages) this size."""
    if settings.octaves > 1:
        sizes = [size]
        for _ in range(settings.octaves - 1):
            smaller = [max(1, round(side / settings.octave_scale)) for side in sizes[0]]
            sizes.insert(0, (smaller[0], smaller[1]))
        return [Leg(settings, one, number, settings.octaves) for number, one in enumerate(sizes)]
    legs = []
    for number, stage in enumerate(settings.stages or ({},)):
        zoom, layers = float(stage.get("zoom", 1.0)), stage.get("layer", ())
        size = (round(size[0] * zoom), round(size[1] * zoom))
        names = (layers,) if isinstance(layers, str) else tuple(layers)
        legs.append(Leg(settings.stage(number), size, number, settings.climbs, names))
    return legs


def choose_size(network: Network, settings: Settings, objectives: Sequence[Objective]) -> Pair:
    """Return the picture's (H, W): as set; that of ``init``, or else the usual one, where the net can take it; else the file's.

    Raises
    ------
    ShapeError
        Where the smallest octave is no size for the objectives' layers.
    """
    size = settings.size
    if size is None and settings.init is not None:
        height, width = read_image(settings.init).shape[:2]
        size = (height, width) if takes(network, settings, objectives, (height, width)) else None
    elif size is None and settings.usual_size is not None:
        size = settings.usual_size if takes(network, settings, objectives, settings.usual_size) else None
    shape = network.item_shape(size)
    smallest = plan(settings, (shape[1], shape[2]))[0].size
    if settings.octaves > 1 and not takes(network, settings, objectives, smallest):
        raise ShapeError(
            f"the first of {settings.octaves} octaves, {smallest[1]} x {smallest[0]} pixels, does not reach up to {objectives[0]}; "
            "aim at a layer below those that want one size of input, or ask for fewer octaves or a larger size"
        )
    return shape[1], shape[2]


def takes(network: Network, settings: Settings, objectives: Sequence[Objective], size: int | Pair) -> bool:
    """Return whether the objectives' layers can be reached with a picture of a size, as the first climb's transforms show it."""
    try:
        for objective in objectives:
            problem = Problem(network, objective, size=size, transforms=settings.stage(0).make_transforms())
            for layer in problem.objective.layers:
                network.shape_of(layer, problem.seen)
    except ShapeError:
        return False
    return True


def given_images(network: Network, settings: Settings, size: Pair, count: int) -> Tensor | None:
    """Return the picture to start from, (N, C, H, W) in the input space, covering ``size``; None where there is none."""
    if settings.init is None:
        return None
    if network.input_shape[0] != 3:
        raise UsageError(f"a picture to start from needs a net with 3 channels, but '{network.input_name}' has {network.input_shape[0]}")
    image = network.from_rgb(covering(read_image(settings.init), size))
    return image.expand(count, *image.shape).clone()


def resized(images: Tensor, size: Pair, order: int) -> Tensor:
    """Return images (N, C, H, W) at another size by spline interpolation of an order, as `scipy.ndimage.zoom` does it."""
    if tuple(images.shape[2:]) == size:
        return images
    factors = (1.0, 1.0, size[0] / images.shape[2], size[1] / images.shape[3])
    return torch.from_numpy(ndimage.zoom(images.cpu().numpy(), factors, order=order)).to(images)


def pyramid(images: Tensor, legs: Sequence[Leg]) -> list[Tensor]:
    """Return the images at every leg's size, each made from the one of the next size (DeepDream's octaves).

    References
    ----------
    .. [1] google/deepdream, ``dream.ipynb``, ``deepdream`` (zoom of order 1).
    """
    found = [images]
    for leg in reversed(legs[:-1]):
        found.insert(0, resized(found[0], leg.size, order=1))
    return found


def carried(images: Tensor, leg: Leg, bases: Sequence[Tensor] | None) -> Tensor:
    """Return the images that a leg begins with: octaves carry what the one before added, stages enlarge the picture."""
    if bases is None:
        return resized(images, leg.size, order=3)
    return bases[leg.number] + resized(images - bases[leg.number - 1], leg.size, order=1)
