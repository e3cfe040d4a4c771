"""An image's features, exaggerated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective import NOT_NEGATIVE, Activations, Block, Fields, ImageReferenceObjective, ReferenceImage

_EPS = 1e-6
_LEAST_COSINE = 0.1


@dataclass(frozen=True)
class Caricature(ImageReferenceObjective):
    r"""More of what a layer sees in an image: its activations as a direction.

    .. math:: d_n = \sum a_0\, a_n, \qquad s_n = d_n \max\Bigl(0.1,\, \frac{d_n}{10^{-6} + \lVert a_n \rVert}\Bigr)^q

    with the image's activations :math:`a_0`. Unlike `Inversion` it has no end: what the layer knows grows stronger.

    Parameters
    ----------
    layer : str or sequence of str
        The layers whose view is exaggerated; the values of several are added.
    image : str, array or sequence of these
        A file's path, or an array (H, W, 3), RGB, 0 to 255; a sequence gives one to each item.
    power : float
        q, at least 0; above 0 likeness counts more than strength.

    References
    ----------
    .. [1] Lucid's recipe "caricature", 2018.

    Examples
    --------
    >>> print(Caricature("mixed4c", "photo.jpg", power=1))
    Caricature("mixed4c", "photo.jpg", power=1)
    """

    examples: ClassVar = (
        "caricature({layer}, {image})",
        "caricature({layer}, ({image}, {image2}, {image3}))",
        "caricature(({layer2}, {classifier}), {image}, power=2)",
        "caricature(({layer2}, {classifier}), ({image}, {image2}, {image3}), power=2)",
    )

    power: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, ObjectiveError).number("power", NOT_NEGATIVE)

    def prepare(self, activation: Tensor, layer: str, image: ReferenceImage) -> Tensor:
        """Return the activation, which must not be all zero."""
        if not activation.any():
            raise ObjectiveError(f"image {image} leaves layer '{layer}' at zero everywhere: there is nothing to exaggerate")
        return activation

    @property
    def additive(self) -> Literal["sum"] | None:
        """A sum over places without a power of the cosine, which is that of whole maps."""
        return "sum" if self.power == 0 else None

    def part(self, layer: str, activation: Tensor, block: Block) -> Tensor:
        """Return the likeness of a block to the image's."""
        return self._like(activation, block.of(self.reference(activation)[self.layers.index(layer)]))

    def value(self, activations: Activations) -> Tensor:
        """Return each item's likeness."""
        bound = self.reference(activations[self.layers[0]])
        return torch.stack([self._like(activations[layer], goal) for layer, goal in zip(self.layers, bound, strict=True)]).sum(0)

    def _like(self, a: Tensor, goal: Tensor) -> Tensor:
        dot = (a * goal).reshape(a.shape[0], -1).sum(1)
        if self.power == 0:
            return dot
        length = torch.linalg.vector_norm(a.reshape(a.shape[0], -1), dim=1)
        cosine: Tensor = dot / (_EPS + length)
        return dot * torch.pow(cosine.clamp_min(_LEAST_COSINE), self.power)
