"""One channel at several places of a single image."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError, TargetError
from dreamopt.objective import (
    Activations,
    Block,
    Layers,
    Unit,
    UnitObjective,
    Windowed,
    highest,
    per_item,
    require_choice,
    spanned,
    target_string,
)
from dreamopt.objectives.neuron import checked_place

Pairs = tuple[tuple[int, ...], ...]
REDUCE = ("mean", "sum")


@dataclass(frozen=True)
class Places(UnitObjective):
    r"""One channel at a list of places of one image; ``"conv4:7@(3,5;4,4)"`` as a string.

    .. math:: s_n = \frac{1}{|P_n|} \sum_{(y, x) \in P_n} a_{n, u_n, y, x}

    Parameters
    ----------
    layer : str
        What that layer wrote, (N, C, H, W), or of any other number of axes beside the channels.
    unit : int or sequence of int
        The channel; a sequence gives one to each item.
    places : sequence of (int, int), or a sequence of these sequences
        Rows and columns in the layer's own grid, from 0, or one number for each of its axes; a place that is named twice counts twice.
        A sequence of lists gives one list to each item.
    reduce : {"mean", "sum"}
        Whether the places are averaged or added.

    Examples
    --------
    >>> print(Places("conv4", 7, [(3, 5), (4, 4)]))
    conv4:7@(3,5;4,4)
    >>> print(Places("conv4", (7, 8), [[(3, 5), (4, 4)], [(0, 0)]]))
    conv4:7,8@(3,5;4,4);(0,0)
    """

    examples: ClassVar = (
        "places({layer}, 3, ((0, 1), (6, 8), (0, 1)))",
        "places({layer}, (3, 0, 4), ((0, 1), (6, 8), (0, 1)))",
        "places({layer2}, 1, ((2, 7),))",
        "places({layer2}, 1, (((2, 7),), ((8, 10), (0, 3)), ((1, 1),)))",
        'places({layer2}, 1, ((2, 7), (4, 4)), "sum")',
        'places({layer2}, (1, 0, 2), (((2, 7), (4, 4)), ((8, 10),), ((1, 1), (1, 2))), "sum")',
    )

    layer: str
    unit: Unit
    places: Pairs | tuple[Pairs, ...]
    reduce: str = "mean"

    def __post_init__(self) -> None:
        require_choice("reduce", self.reduce, REDUCE)
        super().__post_init__()
        object.__setattr__(self, "places", _frozen(self.places))
        if isinstance(self.unit, tuple) and self._many and len(self.unit) != len(self.places):
            raise ObjectiveError(f"{self.layer}: {len(self.unit)} units and {len(self.places)} lists of places are for different batches")

    @property
    def _many(self) -> bool:
        return isinstance(self.places[0][0], tuple)

    @property
    def _lists(self) -> tuple[Pairs, ...]:
        return self.places if self._many else (self.places,)  # type: ignore[return-value]  # as `_many` says

    def _list(self, index: int) -> Pairs:
        return self._lists[index if self._many else 0]

    @property
    def batch(self) -> int | None:
        """The number of units or of lists of places, None where there is one for all items."""
        return len(self.places) if self._many else super().batch

    def item(self, index: int) -> Self:
        """Return item ``index``'s unit and places."""
        unit: Unit = self.unit[index] if isinstance(self.unit, tuple) else self.unit
        return dataclasses.replace(self, unit=unit, places=self._list(index))

    @property
    def additive(self) -> Literal["sum"] | None:
        """A sum of places' values, on maps."""
        return "sum" if all(len(place) == 2 for places in self._lists for place in places) else None

    def part(self, layer: str, activation: Tensor, block: Block) -> Tensor:
        """Return what each item's places in the block add."""
        unit, values = self.checked_unit(tuple(activation.shape[1:])), []
        for i in range(activation.shape[0]):
            places = self._list(i)
            inside = [at for row, column in places if (at := block.place(row, column)) is not None]
            total = sum((activation[i, per_item(unit, i)][at] for at in inside), activation.new_zeros(()))
            values.append(total / len(places) if self.reduce == "mean" else total)
        return torch.stack(values)

    def value(self, activations: Activations) -> Tensor:
        """Return each item's mean or sum over its places."""
        a = activations[self.layer]
        unit = self.checked_unit(tuple(a.shape[1:]))
        found = [torch.stack([a[i, per_item(unit, i)][place] for place in self._list(i)]) for i in range(a.shape[0])]
        return torch.stack([one.mean() if self.reduce == "mean" else one.sum() for one in found])

    def windowed(self, shapes: Mapping[str, tuple[int, ...]]) -> Windowed | None:
        """Return the rectangle that its places span."""
        shape, places = shapes[self.layer], self._list(0)
        if self._many or len(shape) != 3:
            return None
        block = spanned([Block((row, row + 1), (column, column + 1), (shape[1], shape[2])) for row, column in places])
        moved = tuple((row - block.rows[0], column - block.columns[0]) for row, column in places)
        return Windowed({self.layer: block}, dataclasses.replace(self, places=moved))

    def is_argmax(self, activations: Activations) -> Tensor:
        """Whether the channel is the highest at these places together."""
        a = activations[self.layer].detach()
        sums = [torch.stack([a[i].movedim(0, -1)[place] for place in self._list(i)]).sum(0) for i in range(a.shape[0])]
        return highest(torch.stack(sums), self.checked_unit(tuple(a.shape[1:])))

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Self:
        """Check the layer, the units and the places.

        Raises
        ------
        TargetError
            For an unknown layer, or a unit or place out of range.
        """
        layer = network.resolve(self.layer)
        shape = network.shape_of(layer, size)
        if len(shape) < 2:
            raise TargetError(f"layer '{layer}' has items of shape {shape}; places need (C, H, W)")
        for places in self._lists:
            checked_place(layer, shape, tuple(zip(*places, strict=True)))
        bound = dataclasses.replace(self, layer=layer)
        return dataclasses.replace(bound, unit=bound.checked_unit(shape))

    def __str__(self) -> str:
        if self.reduce != "mean":
            return super().__str__()
        lists = ["(" + ";".join(",".join(map(str, place)) for place in places) + ")" for places in self._lists]
        # A single list in a tuple is a batch of one, which only the call can say.
        return super().__str__() if self._many and len(lists) == 1 else target_string(self.layer, self.unit) + "@" + ";".join(lists)


def _frozen(places: Any) -> Pairs | tuple[Pairs, ...]:
    try:
        given = tuple(places.tolist() if hasattr(places, "tolist") else places)
        if given and all(isinstance(place, Sequence) and place and isinstance(place[0], Sequence) for place in given):
            return tuple(_pairs(one) for one in given)
        return _pairs(given)
    except (AttributeError, TypeError, ValueError) as problem:
        raise ObjectiveError(
            f"places are pairs (row, column) of whole numbers, or of a number for each axis, or lists of such, not {places!r}"
        ) from problem


def _pairs(places: Any) -> Pairs:
    pairs = tuple(tuple(position.__index__() for position in place) for place in places)
    if not pairs or not pairs[0] or len({len(place) for place in pairs}) > 1:
        raise ValueError("no place, or places of different axes")
    return pairs
