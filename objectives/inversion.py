"""Matching an image's activations: what a layer still knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective import Activations, Block, ImageReferenceObjective, ReferenceImage


@dataclass(frozen=True)
class Inversion(ImageReferenceObjective):
    r"""Minus the distance to an image's activations: what the layer still knows of the image.

    .. math:: s_n = -\frac{\lVert \phi(x_n) - \phi_0 \rVert^2}{\lVert \phi_0 \rVert^2}

    It is 0 for the image itself and -1 for an image that leaves the layer at zero. Use it with total variation and the
    alpha-norm, without transforms that move the image.

    Parameters
    ----------
    layer : str or sequence of str
        The layers that are matched; the values of several are added.
    image : str, array or sequence of these
        A file's path, or an array (H, W, 3), RGB, 0 to 255; a sequence gives one to each item.

    References
    ----------
    .. [1] Mahendran, Vedaldi, "Understanding Deep Image Representations by Inverting Them", 2015, equations 2 and 3.

    Examples
    --------
    >>> print(Inversion("conv4", "photo.jpg"))
    Inversion("conv4", "photo.jpg")
    """

    examples: ClassVar = (
        "inversion({layer}, {image})",
        "inversion({layer}, ({image}, {image2}, {image3}))",
        "inversion(({layer2}, {classifier}), {image})",
        "inversion(({layer2}, {classifier}), ({image}, {image2}, {image3}))",
    )

    def prepare(self, activation: Tensor, layer: str, image: ReferenceImage) -> Tensor:
        """Return the activation, which must not be all zero."""
        if not activation.any():
            raise ObjectiveError(f"image {image} leaves layer '{layer}' at zero everywhere, so that there is nothing to match")
        return activation

    @property
    def additive(self) -> Literal["sum"]:
        """A sum over places: what it is divided by is the image's alone."""
        return "sum"

    def part(self, layer: str, activation: Tensor, block: Block) -> Tensor:
        """Return minus the distance of a block to the image's, as part of the whole."""
        goal = self.reference(activation)[self.layers.index(layer)]
        return -_square(activation - block.of(goal)) / _square(goal)

    def value(self, activations: Activations) -> Tensor:
        """Return minus each item's distance."""
        bound = self.reference(activations[self.layers[0]])
        parts = [_square(activations[layer] - goal) / _square(goal) for layer, goal in zip(self.layers, bound, strict=True)]
        return -torch.stack(parts).sum(0)


def _square(a: Tensor) -> Tensor:
    return a.square().reshape(a.shape[0], -1).sum(1)
