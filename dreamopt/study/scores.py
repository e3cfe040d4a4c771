"""What measures share: an objective's values of images without a gradient, and images as grey levels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.study.measure import Finished

TOGETHER = 4
"""Images that are seen at once: a forward pass of so many takes less memory than a step of one."""


def values_of(network: Network, objective: Objective, images: Tensor) -> NDArray[np.float64] | None:
    """Return an objective's value of each image, (N,); None for an objective that compares images with each other.

    Parameters
    ----------
    network : Network
        The net.
    objective : Objective
        Bound to it, for images of this size; one that prescribes a unit for each item of a batch is that of its first item.
    images : Tensor
        (N, C, H, W) in the net's input space.
    """
    alone = one_item(objective)
    if alone is None:
        return None
    with torch.no_grad():
        parts = []
        for part in torch.split(images, TOGETHER):
            field = network.field(part, alone)
            if field is not None:
                parts.append(field.objective(field.activations(part)))
                continue
            value = network.score(part, alone)  # of an image in tiles
            parts.append(alone(network.activations(part, alone.layers)) if value is None else value)
    return torch.cat(parts).double().cpu().numpy()


def one_item(objective: Objective) -> Objective | None:
    """Return the objective of one image alone; None for one that compares images with each other."""
    if objective.coupled:
        return None
    return objective if objective.batch is None else objective.item(0)


def activations_of_image(finished: Finished, layers: tuple[str, ...]) -> Mapping[str, Tensor]:
    """Return the activations of layers for the image, (1, ...) by name, without a gradient."""
    with torch.no_grad():
        return finished.network.activations(finished.image, layers)


def levels_of(finished: Finished) -> NDArray[np.float64]:
    """Return the image as it was written, (H, W, 3), in grey levels from 0 to 255; of more bits than 8, with fractions."""
    colours = finished.rgb[..., :3]
    return colours.astype(np.float64) / (257.0 if colours.dtype == np.uint16 else 1.0)
