"""Class activation maps: a layer's maps, weighted by what the score's gradient says of them, drawn over the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dreamopt.attribution.map_layer import check_map_layer, map_layer
from dreamopt.attribution.method import AttributionMethod, Maps
from dreamopt.attribution.score import ScoreFunction
from dreamopt.errors import UsageError
from dreamopt.objective import Objective
from dreamopt.parts.checks import Fields, several, shown

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class Cam(AttributionMethod):
    """A base of methods that weight the maps of a layer; a subclass says how, in `combined`.

    Parameters
    ----------
    layer : str or tuple of str, optional
        Whose maps; the name of an in-place ReLU means the value after it. By default the highest layer with a map below the objective, see
        `dreamopt.attribution.map_layer.map_layer`. Of several layers the maps, each divided by its largest absolute value, are averaged.
    relu : bool
        Cut the weighted sum at 0 from below, as published; without, values below 0 speak against the score.
    """

    layer: str | tuple[str, ...] | None = None
    relu: bool = True

    def __post_init__(self) -> None:
        names = several(self.layer)
        if names is not None:
            if not names or not all(isinstance(name, str) and name for name in names):
                raise UsageError(f"layer of {type(self).__name__} must be a layer's name or several, not {shown(self.layer)}")
            object.__setattr__(self, "layer", names if len(names) > 1 else names[0])
        else:
            Fields(self).text("layer", optional=True)
        Fields(self).flag("relu")
        object.__setattr__(self, "signed", not self.relu)

    def evaluations(self) -> int | None:
        """Return one pass for each layer."""
        return len(self.layer) if isinstance(self.layer, tuple) else 1

    def combined(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return the weighted sum over channels, (N, 1, h, w), of a layer's maps and the score's gradient there, (N, K, h, w) each."""
        raise AssertionError(f"{type(self).__name__} does not say how it weights maps")

    def layer_maps(self, score: ScoreFunction, images: Tensor, layer: str) -> Tensor:
        """Return a layer's weighted sum, (N, 1, h, w), signed."""
        _, activations, gradients = score.layer_gradients(images, layer)
        return self.combined(activations, gradients)

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the weighted sums of the layer's maps, scaled to the images' size."""
        layers = score.by_layers(len(images), lambda objective: self._layers(score, objective))
        values = images.new_zeros(len(images), 1, *images.shape[2:])
        for layer in dict.fromkeys(name for names in layers for name in names):
            maps = self.layer_maps(score, images, layer)
            maps = functional.relu(maps) if self.relu else maps
            for i, names in enumerate(layers):
                if layer in names:
                    own = maps[i : i + 1]
                    if len(names) > 1:
                        largest = own.abs().max()
                        own = own / (torch.where(largest > 0, largest, torch.ones_like(largest)) * len(names))
                    values[i : i + 1] += upsampled(own, images.shape[2:])
        return Maps(values, {"layer": [", ".join(names) for names in layers]})

    def _layers(self, score: ScoreFunction, objective: Objective) -> tuple[str, ...]:
        """Return the layers of an image's map."""
        size = score.space.shape[1:]
        if self.layer is None:
            return (map_layer(score.network, objective, size),)
        names = (self.layer,) if isinstance(self.layer, str) else self.layer
        return tuple(dict.fromkeys(check_map_layer(score.network, name, objective, size) for name in names))


def upsampled(maps: Tensor, size: Any) -> Tensor:
    """Return maps (N, K, h, w) at another size, linear between the centres of places, the whole map over the whole image.

    >>> upsampled(torch.tensor([[[0.0, 4.0]]]), (4,))
    tensor([[[0., 1., 3., 4.]]])
    """
    return functional.interpolate(maps, tuple(size), mode=_MODES[maps.dim() - 2], align_corners=False)
