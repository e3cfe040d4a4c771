"""Excitation backprop: maps of the probabilities with which places of a layer win."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.cam import upsampled
from dreamopt.attribution.map_layer import check_map_layer, middle_layer
from dreamopt.attribution.method import AttributionMethod, Maps, Summary
from dreamopt.attribution.score import ScoreFunction
from dreamopt.objective import Objective
from dreamopt.parts.checks import Fields

INPUT = "input"


@dataclass(frozen=True)
class Winners(AttributionMethod):
    """A base of the two methods; a subclass names the backward rule.

    Parameters
    ----------
    layer : str, optional
        Where the map is read; ``"input"`` for the image itself. By default by the net's structure, see
        `dreamopt.attribution.map_layer.middle_layer`.
    """

    rule: ClassVar[str]
    signed: ClassVar[bool] = False
    summary: ClassVar[Summary] = "sum"

    layer: str | None = None

    def __post_init__(self) -> None:
        Fields(self).text("layer", optional=True)

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the sums over channels, cut at 0 from below, scaled to the images' size."""
        names = score.by_layers(len(images), lambda objective: self._layer(score, objective))
        values = images.new_zeros(len(images), 1, *images.shape[2:])
        for name in dict.fromkeys(names):
            places = [i for i, own in enumerate(names) if own == name]
            own = score if len(places) == len(images) else score.of_images(places)
            batch = images if own is score else images[places]
            _, winning = own.relevances(batch, self.rule, name, by_value=False)
            maps = winning.sum(1, keepdim=True).clamp(min=0)
            values[places] = maps if name is None else upsampled(maps, images.shape[2:])
        return Maps(values, {"layer": [INPUT if name is None else name for name in names]})

    def _layer(self, score: ScoreFunction, objective: Objective) -> str | None:
        """Return where the map of an image is read; None for the image."""
        size = score.space.shape[1:]
        if self.layer is None:
            return middle_layer(score.network, objective, size)
        if self.layer in (INPUT, score.network.input_name):
            return None
        return check_map_layer(score.network, self.layer, objective, size)
