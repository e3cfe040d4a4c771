"""A row of images from one channel to another."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective import Activations, Block, Fields, Layers, Objective, frozen_units, terms
from dreamopt.objectives.channel import Channel


@dataclass(frozen=True)
class Interpolate(Objective):
    r"""A row of images on the way from one channel to another; sample 0 maximises the first, the last sample the second.

    .. math:: s_n = (1 - w_n)\, \bar a_{n, u} + w_n\, \bar b_{n, v}, \qquad w_n = \frac{n}{B - 1}

    with the mean over space of a channel of the layer ``layer`` and of one of ``other_layer``.

    Parameters
    ----------
    layer : str
        The first channel's layer.
    unit, other : int
        The two channels.
    count : int
        B, how many images the row has, at least 2; it is the batch's size.
    other_layer : str, optional
        The second channel's layer; the first's by default.

    References
    ----------
    .. [1] Olah, Mordvintsev, Schubert, "Feature Visualization", 2017, on interaction between neurons.

    Examples
    --------
    >>> row = Interpolate("conv4", 7, 9, 5)
    >>> print(row, "|", row.item(1))
    Interpolate("conv4", 7, 9, 5) | 0.75*conv4:7 + 0.25*conv4:9
    """

    examples: ClassVar = (
        "interpolate({layer}, 3, 0, 3)",
        "interpolate({layer2}, 3, 6, 3, other_layer={classifier})",
    )

    layer: str
    unit: int
    other: int
    count: int
    other_layer: str | None = None

    def __post_init__(self) -> None:
        Fields(self, ObjectiveError).text("layer").text("other_layer", optional=True)
        for name in ("unit", "other", "count"):
            number = frozen_units(getattr(self, name))
            if not isinstance(number, int):
                raise ObjectiveError(f"{name} of an interpolation is one whole number, not {number!r}")
            object.__setattr__(self, name, number)
        if self.count < 2:
            raise ObjectiveError(f"count, the number of images between two channels, must be at least 2, not {self.count}")

    @property
    def ends(self) -> tuple[Channel, Channel]:
        """The two channels."""
        return Channel(self.layer, self.unit), Channel(self.layer if self.other_layer is None else self.other_layer, self.other)

    @property
    def layers(self) -> tuple[str, ...]:
        """The one or two layers."""
        return tuple(dict.fromkeys(end.layer for end in self.ends))

    @property
    def batch(self) -> int:
        """The number of images."""
        return self.count

    @property
    def additive(self) -> Literal["sum"]:
        """A weighted sum of means over places."""
        return "sum"

    def part(self, layer: str, activation: Tensor, block: Block) -> Tensor:
        """Return each item's weighted sum of what this layer's channels add."""
        weights = [n / (self.count - 1) for n in range(self.count)]
        nothing = activation.new_zeros(self.count)
        first, second = (end.part(layer, activation, block) if end.layer == layer else nothing for end in self.ends)
        return torch.stack([(1 - w) * first[n] + w * second[n] for n, w in enumerate(weights)])

    def value(self, activations: Activations) -> Tensor:
        """Return each item's weighted sum."""
        first, second = (end(activations) for end in self.ends)
        weights = [n / (self.count - 1) for n in range(self.count)]
        return torch.stack([(1 - w) * first[n] + w * second[n] for n, w in enumerate(weights)])

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Interpolate:
        """Check both channels.

        Raises
        ------
        TargetError
            For an unknown layer, or a unit out of range.
        """
        first, second = (end.bind(network, size) for end in self.ends)
        return dataclasses.replace(self, layer=first.layer, other_layer=None if self.other_layer is None else second.layer)

    def item(self, index: int) -> Objective:
        """Return the weighted sum that item ``index`` alone has."""
        first, second = self.ends
        weight = index / (self.count - 1)
        if weight in (0, 1):
            return second if weight else first
        return sum(((1 - weight) * first, *terms(weight * second)))  # type: ignore[return-value]  # no empty sum
