"""Matching an image's style: which channels answer together, wherever they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective import (
    Activations,
    Fields,
    ImageReferenceObjective,
    ReferenceImage,
    Vector,
    frozen_vectors,
    spatial_columns,
)


@dataclass(frozen=True)
class Style(ImageReferenceObjective):
    r"""Minus the distance to an image's Gram matrices: which channels answer together, wherever in the image.

    With the columns :math:`A` (C, P) of a layer:

    .. math:: G = \frac{A A^T}{P}, \qquad s_n = -\sum_l w_l \operatorname{mean} \lvert G_{l, n} - G_{l, 0} \rvert

    Parameters
    ----------
    layer : str or sequence of str
        The layers that are matched, usually several from low to high.
    image : str, array or sequence of these
        A file's path, or an array (H, W, 3), RGB, 0 to 255; a sequence gives one to each item.
    weights : sequence of float, optional
        One for each layer; 1 by default. High layers have small Gram matrices, and need more.
    squared : bool
        Whether the mean is of squares, as Gatys has it, and not of absolute differences.
    longest : int, optional
        Look at the image at its own size, or where its longer side has more pixels than this, made smaller. By default it is scaled to
        cover the input, and cut to its middle.

    References
    ----------
    .. [1] Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", 2015.
    .. [2] Mordvintsev et al., "Differentiable Image Parameterizations", 2018: the absolute differences.

    Examples
    --------
    >>> print(Style(("conv1", "conv3"), "starry.jpg", weights=(1, 10)))
    Style(("conv1", "conv3"), "starry.jpg", weights=(1.0, 10.0))
    """

    examples: ClassVar = (
        "style({layer}, {image})",
        "style({layer}, ({image}, {image2}, {image3}))",
        "style(({layer2}, {classifier}), {image}, (2, 0.5), True)",
        "style(({layer2}, {classifier}), ({image}, {image2}, {image3}), (2, 0.5), True)",
        "style({layer2}, {image2}, longest=15)",
    )

    weights: tuple[float, ...] | None = None
    squared: bool = False
    longest: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, ObjectiveError).flag("squared").whole("longest", optional=True)
        if self.weights is None:
            return
        weights: Vector | tuple[Vector, ...] = frozen_vectors(self.weights)
        if isinstance(weights, str) or len(weights) != len(self.layers) or not all(isinstance(w, float) for w in weights):
            raise ObjectiveError(f"weights are one number for each of the {len(self.layers)} layers, not {self.weights!r}")
        object.__setattr__(self, "weights", weights)

    @property
    def longest_side(self) -> int | None:
        """As given."""
        return self.longest

    def prepare(self, activation: Tensor, layer: str, image: ReferenceImage) -> Tensor:
        """Return the image's Gram matrix."""
        return gram(activation)

    def value(self, activations: Activations) -> Tensor:
        """Return minus each item's distance."""
        total = []
        for i, (layer, goal) in enumerate(zip(self.layers, self.reference(activations[self.layers[0]]), strict=True)):
            differs = (gram(activations[layer]) - goal).flatten(1)
            distance = (differs.square() if self.squared else differs.abs()).mean(1)
            total.append(distance if self.weights is None else self.weights[i] * distance)
        return -torch.stack(total).sum(0)


def gram(activation: Tensor) -> Tensor:
    """Return (N, C, C), the mean over space of the products of channels of activations (N, C, ...)."""
    a = spatial_columns(activation)
    return a @ a.transpose(1, 2) / a.shape[2]
