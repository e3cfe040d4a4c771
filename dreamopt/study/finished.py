"""An image and a target as measures see a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.image.covering import covering
from dreamopt.image.writing import ImageArray
from dreamopt.network import Network, Size
from dreamopt.objective import Objective
from dreamopt.recipes.targets import bind_target, read_targets
from dreamopt.study.classes import class_of
from dreamopt.study.measure import Finished


def as_finished(
    network: Network,
    target: str | Objective,
    rgb: ImageArray | NDArray[np.floating[Any]],
    size: Size = None,
    *,
    image: Tensor | None = None,
    others: Mapping[str, Network] | None = None,
    facts: Mapping[str, float] | None = None,
) -> Finished:
    """Return an image, made for a target, as measures see it.

    Parameters
    ----------
    network : Network
        The net.
    target : str or Objective
        One target.
    rgb : ndarray, (H, W, 3) or (H, W, 4)
        The image as it was written, uint8, uint16, or floating-point grey levels from 0 to 255; an opacity is left out.
    size : int or (int, int), optional
        At which it is measured; its own by default. The image is scaled to cover it, and cut to its middle.
    image : Tensor, optional
        (1, C, H', W') in the net's input space, of the size at which it is measured, where the colours do not tell all of its channels;
        or any other input of the net.
    others : mapping of str to Network, optional
        Other nets that images of classes are shown to.
    facts : mapping of str to float, optional
        What was counted during the run.

    Raises
    ------
    TargetError
        For a layer, unit or label that the network does not have.
    """
    levels = rgb[..., :3] / 257.0 if rgb.dtype == np.uint16 else rgb[..., :3]
    colours: NDArray[np.uint8] = np.clip(levels, 0, 255).round().astype(np.uint8)
    if image is None:
        pair = colours.shape[:2] if size is None else network.item_shape(size)[1:]
        image = network.from_rgb(covering(colours, pair))[None]
    measured = tuple(image.shape[2:]) or None  # a vector has no size
    objective = bind_target(network, read_targets(network, target, measured)[0], measured)
    unit = class_of(network, objective)
    number = None if unit is None else unit.number
    label = None if number is None or network.labels is None or number >= len(network.labels) else network.labels[number]
    return Finished(
        network=network,
        objective=objective,
        rgb=np.ascontiguousarray(colours),
        image=image,
        unit=str(objective),
        label=label,
        class_index=number,
        others={} if others is None else others,
        facts={} if facts is None else facts,
    )
