"""What a layer and its units make of an image: values, maps, and where in the image the strongest place looks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dreamopt.attribution.explained import class_pass, label_of, scores_of
from dreamopt.attribution.shown import CLIP, heat_colours, limit_of
from dreamopt.errors import TargetError, UsageError
from dreamopt.image.colour_maps import SIGNED, UNSIGNED, coloured
from dreamopt.image.covering import covering
from dreamopt.image.modes import Levels, RGBImage
from dreamopt.network import Network
from dreamopt.network.receptive_field import ReceptiveFields
from dreamopt.objective import Objective
from dreamopt.objectives import Channel, Neuron

CELL = 64
"""Pixels of a unit's side on a sprite at the most; larger maps are averaged over blocks."""
SCALES = ("layer", "unit")
"""What has the strongest colour: the layer's strongest values, or each unit's own."""


@dataclass(frozen=True, eq=False)
class LayerValues:
    """A layer's values for one image.

    Parameters
    ----------
    layer : str
        Its name.
    maps : ndarray, (K, H, W), float32
        A map for each unit; 1 x 1 for a layer without places.
    has_places : bool
        Whether the layer has places.
    """

    layer: str
    maps: NDArray[np.float32]
    has_places: bool

    @classmethod
    def of(cls, network: Network, layer: str, seen: Levels) -> LayerValues:
        """Return the values of a layer for an image of the net's input size, (H, W, 3), RGB, 0 to 255.

        Raises
        ------
        TargetError
            For an unknown layer, and for one whose values are neither maps nor a vector.
        """
        value = network.activations_of(seen, [layer])[layer if layer in network.graph else network.resolve(layer)][0]
        has_places = value.dim() == 3
        if value.dim() not in (1, 3):
            raise TargetError(f"layer '{layer}' has values of shape {tuple(value.shape)}, which are no maps of units")
        maps = value.to(torch.float32).cpu().numpy()
        return cls(layer, np.array(maps if has_places else maps[:, None, None]), has_places and maps.shape[1:] != (1, 1))

    @property
    def units(self) -> int:
        """How many units it has."""
        return len(self.maps)

    @cached_property
    def is_signed(self) -> bool:
        """Whether there are values below 0."""
        return bool((self.maps < 0).any())

    @cached_property
    def highest(self) -> NDArray[np.float32]:
        """(K,) each unit's highest value."""
        found: NDArray[np.float32] = self.maps.max((1, 2))
        return found

    @cached_property
    def limit(self) -> float:
        """What has the strongest colour where all units have one scale: the percentile 99.5 of the absolute values that are finite."""
        return limit_of(self._finite)

    @cached_property
    def _finite(self) -> NDArray[np.float32]:
        """The maps with 0 for what is not finite, which would decide the scale of all."""
        return np.nan_to_num(self.maps, nan=0.0, posinf=0.0, neginf=0.0)

    def sprite(self, scale: str = "layer") -> RGBImage:
        """Return all units' maps in one image, unit by unit in rows of `columns`, each of `cell`.

        Colours are those of heat maps: where the layer has values below 0, blue below and red above; else from black to bright.

        Parameters
        ----------
        scale : {"layer", "unit"}
            Whether the strongest colour stands for `limit`, or for the same of each unit's own values.

        Examples
        --------
        >>> maps = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
        >>> LayerValues("conv1", maps, True).sprite().shape
        (4, 4, 3)
        """
        if scale not in SCALES:
            raise UsageError(f"the scale must be one of {', '.join(SCALES)}, not {scale!r}")
        height, width = self.cell
        small = _smaller(self._finite, (height, width))
        limits = np.array([limit_of(own) for own in small] if scale == "unit" else [self.limit], np.float32)[:, None, None]
        small = np.divide(small, limits, out=np.zeros_like(small), where=limits > 0)
        columns = self.columns
        rows = -(-len(small) // columns)
        filled = np.zeros((rows * columns, height, width), np.float32)
        filled[: len(small)] = small
        whole = filled.reshape(rows, columns, height, width).transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
        return coloured((whole + 1) / 2 if self.is_signed else whole, SIGNED if self.is_signed else UNSIGNED)

    @property
    def columns(self) -> int:
        """Units in a row of the sprite."""
        return math.ceil(math.sqrt(self.units))

    @property
    def cell(self) -> tuple[int, int]:
        """(H, W) of a unit on the sprite, in pixels."""
        height, width = self.maps.shape[1:]
        blocks = max(1, -(-max(height, width) // CELL))
        return -(-height // blocks), -(-width // blocks)

    def unit(self, unit: int) -> NDArray[np.float32]:
        """Return a unit's map, (H, W).

        Raises
        ------
        TargetError
            For a unit that the layer does not have.
        """
        if not 0 <= unit < self.units:
            raise TargetError(f"layer '{self.layer}' has units 0 to {self.units - 1}, not {unit}")
        found: NDArray[np.float32] = self.maps[unit]
        return found

    def strongest(self, unit: int) -> tuple[int, int]:
        """Return (row, column) of a unit's highest value."""
        own = self.unit(unit)
        row, column = divmod(int(own.argmax()), own.shape[1])
        return row, column

    def image(self, unit: int) -> RGBImage:
        """Return a unit's map in colours, (H, W, 3), on its own scale."""
        return heat_colours(self.unit(unit), self.is_signed, clip=CLIP)


def objective_of(layer: str, unit: int, place: tuple[int, int] | None = None) -> Objective:
    """Return a unit as an objective: a filter, or with a place one neuron of it.

    >>> print(objective_of("conv4", 7), objective_of("conv4", 7, (3, 5)))
    conv4:7 conv4:7@3,5
    """
    return Channel(layer, unit) if place is None else Neuron(layer, unit, *place)


def field_of(network: Network, layer: str, place: tuple[int, int]) -> dict[str, Any]:
    """Return what a place of a layer sees of the image: rows and columns, and the window's size with what is padded."""
    field = ReceptiveFields(network, layer).at(*place)
    (top, bottom), (left, right) = field.rectangle
    (window_top, window_bottom), (window_left, window_right) = field.window
    return {"box": [top, left, bottom, right], "window": [window_bottom - window_top, window_right - window_left]}


def class_scores(network: Network, seen: Levels, most: int = 5) -> dict[str, Any] | None:
    """Return an image's highest class scores, with the classes' names; None for a net without classes of whole images."""
    try:
        made = class_pass(network, network.from_rgb(covering(seen, network.input_shape[1:]))[None], backward=False)
        scores = scores_of(made)[0]
    except UsageError:
        return None
    ((layer, _),) = made.activations.items()
    order = scores.argsort(descending=True, stable=True)[:most].tolist()
    top = [{"unit": unit, "label": label_of(network, Channel(layer, unit)), "score": float(scores[unit])} for unit in order]
    return {"layer": layer, "top": top}


def _smaller(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return maps averaged over blocks, (K, *size)."""
    if maps.shape[1:] == size:
        return maps
    return torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(maps)[:, None], size)[:, 0].numpy()
