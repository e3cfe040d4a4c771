"""What targets say of each place of an image: values of many channels of a layer at once, or of any objective that adds up over places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dreamopt.network import Network
from dreamopt.objective import Objective, Windowed
from dreamopt.objective.objective import Layers, Scaled, Sum
from dreamopt.objectives import Channel, ClassScore, DirectionNeuron, Neuron, Places
from dreamopt.objectives.neuron import block_at

Activations = Mapping[str, Tensor]
Pair = tuple[int, int]


def is_placewise(objective: Objective) -> bool:
    """Return whether an objective adds up over the places of a map, all of them alike, so that it has a value at each place.

    >>> is_placewise(Channel("conv4", 7)), is_placewise(Neuron("conv4", 7, 2, 3))
    (True, False)
    """
    if isinstance(objective, Scaled):
        return is_placewise(objective.term)
    if isinstance(objective, Sum):
        return all(is_placewise(term) for term in objective.terms)
    # One that says itself what a block adds may know where the block lies.
    alike = type(objective).part is Objective.part
    return objective.additive is not None and alike and not objective.coupled and objective.batch is None


@dataclass(frozen=True)
class Channels:
    """Targets that are channels of one layer, each times a factor."""

    layer: str
    targets: tuple[int, ...]
    units: Tensor
    factors: Tensor

    def maps(self, activations: Activations) -> Tensor:
        """Return the values at each place, (N, targets, H, W)."""
        a = activations[self.layer]
        return a.index_select(1, self.units.to(a.device)) * self.factors.to(a)[:, None, None]

    @property
    def is_plain(self) -> bool:
        """Whether all factors are 1."""
        return bool((self.factors == 1).all())


@dataclass(frozen=True)
class _FlatChannels:
    """Targets that are units of one layer without places, each times a factor."""

    layer: str
    targets: tuple[int, ...]
    units: Tensor
    factors: Tensor

    def values(self, activations: Activations) -> Tensor:
        """Return the values, (N, targets)."""
        a = activations[self.layer]
        return a.index_select(1, self.units.to(a.device)) * self.factors.to(a)


@dataclass(frozen=True)
class _Placewise:
    """A target that has a value at each place."""

    objective: Objective
    targets: tuple[int, ...]

    def maps(self, activations: Activations) -> Tensor:
        """Return the values at each place, (N, 1, H, W)."""
        own = {name: activations[name] for name in self.objective.layers}
        n, _, height, width = next(iter(own.values())).shape
        columns = {name: a.permute(0, 2, 3, 1).reshape(n * height * width, -1, 1, 1) for name, a in own.items()}
        return self.objective(columns).reshape(n, 1, height, width)


@dataclass(frozen=True)
class _Whole:
    """A target with one value for the image."""

    objective: Objective
    targets: tuple[int, ...]

    def values(self, activations: Activations) -> Tensor:
        """Return the values, (N, 1)."""
        return self.objective({name: activations[name] for name in self.objective.layers})[:, None]


class PlaceValues:
    """The values of several targets for images of one size.

    Parameters
    ----------
    network : Network
        The net.
    objectives : sequence of Objective
        Bound to the network for this size.
    size : (int, int)
        Of the images.
    by : {"max", "mean", "value"}
        "max": the value at the strongest place, for targets that have one at each place, and the objective's own for others. "mean":
        the mean over places. "value": each objective's own.
    """

    def __init__(self, network: Network, objectives: Sequence[Objective], size: Pair, by: str) -> None:
        self.objectives, self.by = tuple(objectives), by
        self.layers = tuple(dict.fromkeys(layer for one in objectives for layer in one.layers))
        channels: dict[str, list[tuple[int, int, float]]] = {}
        self.placewise: list[Channels | _Placewise] = []
        self.whole: list[_Whole | _FlatChannels] = []
        shape_of = {layer: network.shape_of(layer, size) for layer in self.layers}
        for number, objective in enumerate(objectives):
            shapes = {shape_of[layer] for layer in objective.layers}
            factor, term = (objective.factor, objective.term) if isinstance(objective, Scaled) else (1.0, objective)
            unit = getattr(term, "unit", None) if type(term) in (Channel, ClassScore) else None
            if isinstance(unit, int) and len(shape_of[term.layers[0]]) == 1:
                channels.setdefault(term.layers[0], []).append((number, unit, factor))
                continue
            if by == "value" or not is_placewise(objective) or len({s[1:] for s in shapes}) > 1 or any(len(s) != 3 for s in shapes):
                self.whole.append(_Whole(objective, (number,)))
                continue
            if isinstance(unit, int):
                channels.setdefault(term.layers[0], []).append((number, unit, factor))
            else:
                self.placewise.append(_Placewise(objective, (number,)))
        for layer, rows in channels.items():
            numbers, units, factors = zip(*rows, strict=True)
            these = numbers, torch.tensor(units), torch.tensor(factors, dtype=torch.float64)
            if len(shape_of[layer]) == 1:
                self.whole.append(_FlatChannels(layer, *these))
            else:
                self.placewise.append(Channels(layer, *these))

    def has_places(self, target: int) -> bool:
        """Return whether a target's value is that of a place, which is looked for."""
        return self.by == "max" and any(target in group.targets for group in self.placewise)


def strongest(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the highest value of each map (..., H, W), and the first place of it, row by row, as one number.

    >>> strongest(torch.tensor([[[1.0, 3.0], [3.0, 2.0]]]))
    (tensor([3.]), tensor([1]))
    """
    flat = maps.flatten(-2)
    if flat.device.type == "cpu" and flat.dtype in (torch.float32, torch.float64):  # numpy's is the first, in one pass
        first = torch.from_numpy(np.asarray(flat.detach().numpy().argmax(-1)))
        return flat.gather(-1, first[..., None])[..., 0], first
    values = flat.amax(-1)
    # Which of equal values `argmax` gives depends on the device.
    places = torch.arange(flat.shape[-1], device=flat.device)
    first = torch.where(flat == values[..., None], places, flat.shape[-1]).amin(-1)
    return values, first


@dataclass(frozen=True)
class AtPlace(Objective):
    """An objective's value of one place of its layers' maps, as if there were no other; see `is_placewise`."""

    term: Objective
    row: int
    column: int

    @property
    def layers(self) -> tuple[str, ...]:
        """As the term."""
        return self.term.layers

    def value(self, activations: Activations) -> Tensor:
        """Return the term's value of the place."""
        rows, columns = slice(self.row, self.row + 1), slice(self.column, self.column + 1)
        return self.term({name: a[:, :, rows, columns] for name, a in activations.items()})

    def windowed(self, shapes: Mapping[str, tuple[int, ...]]) -> Windowed | None:
        """Return the place in each layer's map."""
        blocks = {name: block_at(shapes[name], self.row, self.column) for name in self.layers}
        found = {name: block for name, block in blocks.items() if block is not None}
        return Windowed(found, replace(self, row=0, column=0)) if len(found) == len(blocks) else None

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> AtPlace:
        """Bind the term."""
        return replace(self, term=self.term.bind(network, size))

    def __str__(self) -> str:
        return f"({self.term}) at {self.row},{self.column}"


def at_place(objective: Objective, place: Pair) -> Objective:
    """Return the objective that a bound one is at one place: of a channel, the neuron.

    >>> print(at_place(2 * Channel("conv4", 7), (3, 5)))
    2*conv4:7@3,5
    """
    if isinstance(objective, Scaled):
        return objective.factor * at_place(objective.term, place)
    if type(objective) in (Channel, ClassScore) and isinstance(unit := getattr(objective, "unit", None), int):
        return Neuron(objective.layers[0], unit, *place)
    return AtPlace(objective, *place)


def own_places(objective: Objective) -> list[Pair] | None:
    """Return the places that a bound objective is about, where it names them; None for all.

    >>> own_places(Neuron("conv4", 7, 2, 3))
    [(2, 3)]
    """
    if isinstance(objective, Scaled):
        return own_places(objective.term)
    if isinstance(objective, Neuron | DirectionNeuron) and isinstance(objective.y, int) and isinstance(objective.x, int):
        return [(objective.y, objective.x)]
    if isinstance(objective, Places):
        pairs = [place for place in objective.places if len(place) == 2]
        return [(row, column) for row, column in pairs if isinstance(row, int) and isinstance(column, int)] or None
    return None
