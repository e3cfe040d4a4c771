"""What a layer sees: how large stimuli are to be, and which of its places they cover."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamopt.errors import DreamoptError
from dreamopt.network import Network, Size
from dreamopt.network.receptive_field import ReceptiveFields

_AROUND = 4
"""Steps from place to place by which stimuli are larger than a receptive field: five places along each side see nothing else."""


@dataclass(frozen=True, eq=False)
class SeenField:
    """The stimuli's size for a layer.

    Parameters
    ----------
    size : (int, int)
        Height and width of the images in pixels.
    length : int
        The shorter side of a place's receptive field, in pixels; no more than the images have.
    places : Tensor or None
        (H, W) of the layer's map, bool: the places whose receptive fields lie inside of the images, where some do.
    """

    size: tuple[int, int]
    length: int
    places: Tensor | None

    @property
    def stimuli(self) -> tuple[tuple[int, int], int]:
        """The size and the length: layers for which they are the same are shown the same."""
        return self.size, self.length

    def highest(self, values: Tensor) -> Tensor:
        """Return the highest values over the places, (N, C), of activations (N, C, H, W) or (N, C)."""
        if values.dim() < 4:
            return values.flatten(2).amax(2) if values.dim() > 2 else values
        return (values.flatten(2) if self.places is None else values[:, :, self.places]).amax(2)


def seen_field(network: Network, layer: str, size: Size = None) -> SeenField:
    """Return how large stimuli for a layer are: as its receptive field with a margin, at the most ``size`` or the net's own."""
    shape = network.item_shape(size)
    whole = (shape[1], shape[2])
    fields = ReceptiveFields(network, layer, whole)
    map_shape = network.shape_of(layer, whole)
    if len(map_shape) != 3:
        return SeenField(whole, min(whole), None)
    middle = ((map_shape[1] - 1) // 2, (map_shape[2] - 1) // 2)
    window, further = fields.at(*middle).window, fields.at(middle[0] + 1, middle[1] + 1).window
    sides = [last - first for first, last in window]
    jumps = [further[axis][0] - window[axis][0] for axis in (0, 1)]
    small = tuple(min(whole[axis], sides[axis] + _AROUND * jumps[axis]) for axis in (0, 1))
    used = (small[0], small[1]) if _computed(network, layer, (small[0], small[1])) else whole
    return SeenField(used, max(1, min(min(sides), *used)), _inside(network, layer, used))


def _computed(network: Network, layer: str, size: tuple[int, int]) -> bool:
    try:
        network.shape_of(layer, size)
    except DreamoptError:
        return False
    return True


def _inside(network: Network, layer: str, size: tuple[int, int]) -> Tensor | None:
    """Return which places of a layer's map see no padding; None where all do."""
    fields, shape = ReceptiveFields(network, layer, size), network.shape_of(layer, size)
    inside = []
    for axis in (0, 1):
        windows = [fields.at(*((i, 0) if axis == 0 else (0, i))).window[axis] for i in range(shape[1 + axis])]
        inside.append(torch.tensor([first >= 0 and last <= size[axis] for first, last in windows]))
    places = inside[0][:, None] & inside[1]
    return places if bool(places.any()) else None
