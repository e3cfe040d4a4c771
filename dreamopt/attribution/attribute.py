"""`dreamopt.attribute`: what a unit answers to in an image, from Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.attribution.attribution import Attribution
from dreamopt.attribution.explained import bound_objective, explains, label_of
from dreamopt.attribution.method import AttributionMethod, parse_method
from dreamopt.attribution.score import ScoreFunction
from dreamopt.errors import UsageError
from dreamopt.image.init import given_images
from dreamopt.image.reference import as_image_value
from dreamopt.network import Network, Size
from dreamopt.objective import Objective
from dreamopt.parts.arguments import check_seed

Target = Objective | str | Sequence[Objective | str] | None
"""What is explained: an objective, one for each image, or None for each image's highest class."""


@overload
def attribute(
    network: Network,
    image: list[Any],
    objective: Target = ...,
    method: AttributionMethod | str = ...,
    *,
    size: Size = ...,
    seed: int = ...,
    batch: int = ...,
) -> list[Attribution]: ...
@overload
def attribute(
    network: Network,
    image: Any,
    objective: Target = ...,
    method: AttributionMethod | str = ...,
    *,
    size: Size = ...,
    seed: int = ...,
    batch: int = ...,
) -> Attribution: ...
def attribute(
    network: Network,
    image: Any,
    objective: Target = None,
    method: AttributionMethod | str = "saliency",
    *,
    size: Size = None,
    seed: int = 0,
    batch: int = 16,
) -> Attribution | list[Attribution]:
    """Return which parts of an image an objective answers to.

    Parameters
    ----------
    network : Network
        The net.
    image : path, array or tensor, or a list of these
        A file, an array (H, W, 3) RGB 0-255, or a tensor (C, H, W) in the net's input space. An image of another size is scaled to cover
        the net's input and cut to its middle. Of a list, all pass through the net together; each gets the attribution that it gets alone.
    objective : Objective, str, or a sequence of these, optional
        What is explained, as ``"fc8:281"``; a sequence gives each image its own. By default each image's highest class.
    method : AttributionMethod or str
        As ``"saliency"``, ``"integrated_gradients(steps=100)"``.
    size : int or (int, int), optional
        The input's size in pixels; the one in the net's file by default.
    seed : int
        For the method's random draws, which are the same for every image.
    batch : int
        The most images that pass through the net at once where the method makes many versions of each.

    Returns
    -------
    Attribution, or a list of them for a list of images

    Raises
    ------
    TargetError
        For a layer, unit or class that the network does not have.
    ImageError
        For an image that cannot be read or does not fit.
    UsageError
        For an unknown method, an objective that compares images, or an empty list.
    """
    several = isinstance(image, list)
    part = parse_method(method)
    space = network.image_space(size)
    given = [as_image_value(one) for one in (image if several else [image])]
    if not given or any(one is None for one in given):
        raise UsageError("give at least one image: a file's path, an array (H, W, 3) RGB 0-255, or a tensor of the input space")
    images = torch.cat([given_images(one, space, 1) for one in given if one is not None])
    objectives = bound_objective(network, objective, images, size)
    score = ScoreFunction(network, objectives, space.shape[1:] or None, batch=batch, seed=check_seed("seed", seed))
    maps = part.attribute(score, images)
    scores = score.values(images)[:, 0].tolist()
    found = []
    for i, value in enumerate(scores):
        own = objectives.item(i)
        found.append(
            Attribution(
                array=_array(network, maps.values[i]),
                image=_seen(network, images[i]),
                score=value,
                objective=str(own),
                method=str(part),
                explains=explains(network, own),
                label=label_of(network, own),
                summary=part.summary,
                signed=part.signed,
                facts={name: facts[i] for name, facts in maps.facts.items()},
                settings={"network": network.describe_input(), "size": list(space.shape[1:]), "seed": seed},
            )
        )
    return found if several else found[0]


def _array(network: Network, values: Tensor) -> NDArray[np.float32]:
    """Return one image's map as an array (H, W, C), RGB, or (H, W); as it is where the net takes no images."""
    array: NDArray[np.float32] = values.detach().to(torch.float32).cpu().numpy()
    if not network.has_image_input:
        return array
    if len(array) == 1:
        return np.ascontiguousarray(array[0])
    order = network.image_space().order
    if order == "BGR":
        array = np.concatenate([array[2::-1], array[3:]])
    return np.ascontiguousarray(array.transpose(1, 2, 0))


def _seen(network: Network, image: Tensor) -> NDArray[np.uint8] | None:
    if not network.has_image_input:
        return None
    rgb: NDArray[np.uint8] = np.rint(network.to_rgb(image[None])[0].cpu().numpy()).astype(np.uint8)
    return rgb
