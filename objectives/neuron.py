"""A single neuron: one channel at one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, cast

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError, TargetError
from dreamopt.objective import (
    ANY,
    Activations,
    Block,
    Layers,
    Unit,
    UnitObjective,
    Windowed,
    check_whole,
    frozen_units,
    highest,
    per_item,
    pick,
    target_string,
)

Place = int | tuple[int, ...] | None
"""A position along one axis, or one for each item; None is the centre."""
Where = tuple[Place, ...]
"""A position along each axis beside the channels."""
Positions = tuple[int, ...] | tuple[tuple[int, ...], ...]
"""A place, or one for each item."""


@dataclass(frozen=True)
class Neuron(UnitObjective):
    r"""One channel at one place; ``"conv4:7@3,5"`` as a string, ``"conv4:7@centre"`` for the middle.

    .. math:: s_n = a_{n, u_n, y_n, x_n}

    Parameters
    ----------
    layer : str
        What that layer wrote: where a ReLU works in place, ``conv4`` is before it and ``relu4`` after it.
    unit : int or sequence of int
        The channel, 0 to C - 1; a sequence gives one to each item of the batch.
    y, x : int or sequence of int, optional
        Row and column in the layer's own grid, from 0; sequences give one to each item. None is the centre,
        ``H // 2`` and ``W // 2``. A flat layer (N, K) has none.
    place : sequence of int, or of these, optional
        Instead of row and column, the position along each axis beside the channels, for layers of another number of axes: ``(t,)`` in a
        signal, ``(z, y, x)`` in a volume; a sequence of these gives one to each item.

    Examples
    --------
    >>> print(Neuron("conv4", 7, 3, 5))
    conv4:7@3,5
    >>> print(Neuron("conv4", (7, 8)))
    conv4:7,8@centre
    >>> print(Neuron("conv3d", 7, place=(1, 3, 5)))
    conv3d:7@1,3,5
    """

    examples: ClassVar = (
        "neuron({layer}, 3)",
        "neuron({layer}, (3, 0, 4))",
        "neuron({layer2}, 1, 2, 7)",
        "neuron({layer2}, (1, 3, 0), (2, 8, 0), (7, 10, 1))",
        "neuron({classifier}, 6)",
        "neuron({classifier}, (6, 0, 2))",
        "neuron({layer2}, 1, (2, 8, 0), 7)",
    )

    layer: str
    unit: Unit
    y: Place = None
    x: Place = None
    place: Positions | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for axis in ("y", "x"):
            object.__setattr__(self, axis, frozen_position(axis, getattr(self, axis)))
        if (self.y is None) != (self.x is None):
            raise ObjectiveError(f"a neuron of layer '{self.layer}' needs both y and x, or neither for the centre")
        place = frozen_place(self.place, self.layer)
        if place is not None and self.y is not None:
            raise ObjectiveError(f"a neuron of layer '{self.layer}' has y and x and a place; give one of them")
        if place is not None and len(where := by_axis(place)) == 2:
            object.__setattr__(self, "y", where[0])
            object.__setattr__(self, "x", where[1])
            place = None
        object.__setattr__(self, "place", place)
        if len({len(v) for v in (self.unit, *self._where) if isinstance(v, tuple)}) > 1:
            raise ObjectiveError(f"unit, y and x of a neuron of layer '{self.layer}' are for different numbers of items")
        if isinstance(self.y, tuple) != isinstance(self.x, tuple):
            # A row for each item and one column for all are places for each item: so they print, and so they are read back.
            for axis, other in (("y", self.x), ("x", self.y)):
                if isinstance(other, tuple):
                    object.__setattr__(self, axis, (getattr(self, axis),) * len(other))

    @property
    def _where(self) -> Where:
        """The position along each axis; none for the centre."""
        if self.place is not None:
            return by_axis(self.place)
        return () if self.y is None else (self.y, self.x)

    @property
    def batch(self) -> int | None:
        """The number of units or places, None where there is one for all items."""
        return next((len(v) for v in (self.unit, *self._where) if isinstance(v, tuple)), None)

    def item(self, index: int) -> Self:
        """Return item ``index``'s neuron."""
        unit: Unit = self.unit[index] if isinstance(self.unit, tuple) else self.unit
        return dataclasses.replace(self._at(tuple(per_item(v, index) for v in self._where)), unit=unit)

    def _at(self, where: Where) -> Self:
        if len(where) == 2:
            return dataclasses.replace(self, y=where[0], x=where[1], place=None)
        return dataclasses.replace(self, y=None, x=None, place=by_item(where) if where else None)

    def value(self, activations: Activations) -> Tensor:
        """Return each item's neuron."""
        a = activations[self.layer]
        shape = tuple(a.shape[1:])
        unit = self.checked_unit(shape)
        if len(shape) == 1:
            return pick(a, unit)
        return pick_place(pick(a, unit), checked_place(self.layer, shape, self._where))

    @property
    def additive(self) -> Literal["sum"] | None:
        """One place's value, on maps."""
        return "sum" if self.y is not None else None

    def part(self, layer: str, activation: Tensor, block: Block) -> Tensor:
        """Return each item's neuron where it lies in the block, else 0."""
        unit, values = self.checked_unit(tuple(activation.shape[1:])), []
        where = checked_place(layer, (activation.shape[1], *block.whole), self._where)
        for i in range(activation.shape[0]):
            at = block.place(*(position for value in where if (position := per_item(value, i)) is not None))
            values.append(activation.new_zeros(()) if at is None else activation[i, per_item(unit, i)][at])
        return torch.stack(values)

    def windowed(self, shapes: Mapping[str, tuple[int, ...]]) -> Windowed | None:
        """Return its place."""
        block = block_at(shapes[self.layer], self.y, self.x)
        return None if block is None else Windowed({self.layer: block}, dataclasses.replace(self, y=0, x=0))

    def is_argmax(self, activations: Activations) -> Tensor:
        """Whether the channel is the highest at its place."""
        a = activations[self.layer]
        where = checked_place(self.layer, tuple(a.shape[1:]), self._where)
        return highest(a if a.dim() == 2 else pick_place(a, where), self.checked_unit(tuple(a.shape[1:])))

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Self:
        """Check the layer, the unit and the place, and resolve the centre.

        Raises
        ------
        TargetError
            For an unknown layer, or a unit or place out of range.
        """
        layer = network.resolve(self.layer)
        shape = network.shape_of(layer, size)
        bound = dataclasses.replace(self._at(checked_place(layer, shape, self._where)), layer=layer)
        return dataclasses.replace(bound, unit=bound.checked_unit(shape))

    def __str__(self) -> str:
        where = self._where
        if not where:
            return target_string(self.layer, self.unit) + "@centre"
        count = max(len(v) if isinstance(v, tuple) else 1 for v in where)
        places = [",".join(str(per_item(v, i)) for v in where) for i in range(count)]
        return target_string(self.layer, self.unit) + "@" + ";".join(places)


def checked_place(layer: str, shape: tuple[int, ...], where: Where) -> Where:
    """Return the position along each axis, the centre resolved, known to lie in a layer's items of ``shape``; TargetError otherwise.

    A flat layer has no axis beside its units, and no position.
    """
    sizes = shape[1:]
    if not sizes:
        if where:
            raise TargetError(f"layer '{layer}' is flat, {shape[0]} units without a place; leave out y and x")
        return ()
    if not where or all(value is None for value in where):
        return tuple(size // 2 for size in sizes)
    if len(where) != len(sizes):
        example = f"{layer}:0@{','.join(str(size // 2) for size in sizes)}"
        raise TargetError(
            f"layer '{layer}' has items of shape {shape}; a place in it has {len(sizes)} number{'s' if len(sizes) > 1 else ''}, "
            f"as in {example}, not {len(where)}"
        )
    names = {1: ("place",), 2: ("row y", "column x")}.get(len(sizes), tuple(f"place {axis}" for axis in range(len(sizes))))
    for axis, given, count in zip(names, where, sizes, strict=True):
        for value in given if isinstance(given, tuple) else (given,):
            if value is not None and not 0 <= value < count:
                raise TargetError(f"layer '{layer}' has no {axis} = {value}: it has {count}, numbered 0 to {count - 1}")
    return where


def block_at(shape: tuple[int, ...], row: Place, column: Place) -> Block | None:
    """Return one place of a map of shape (C, H, W) as a block; None for several, or what is no map."""
    if len(shape) != 3 or not isinstance(row, int) or not isinstance(column, int):
        return None
    return Block((row, row + 1), (column, column + 1), (shape[1], shape[2]))


def pick_place(planes: Tensor, where: Where) -> Tensor:
    """Return (N, ...): each item's values of ``planes`` (N, ..., D1, D2, ...) at its position along the last axes."""
    if any(isinstance(value, tuple) for value in where):
        return torch.stack([planes[(i, ..., *(per_item(value, i) for value in where))] for i in range(planes.shape[0])])
    return planes[(..., *where)]


def frozen_position(axis: str, value: int | Sequence[int] | None) -> Place:
    """Return a row or column, or a sequence of them as a tuple, checked to be whole numbers; ObjectiveError otherwise."""
    if value is None:
        return None
    clean = frozen_units(value)
    numbers = clean if isinstance(clean, tuple) else (clean,)
    if any(isinstance(v, str) for v in numbers):
        raise ObjectiveError(f"{axis} of a neuron is a whole number, not {value!r}")
    whole = tuple(int(v) for v in numbers)
    return whole if isinstance(clean, tuple) else whole[0]


def frozen_place(place: object, layer: str) -> Positions | None:
    """Return a place (z, y, x), or a sequence of places with one for each item, as tuples of whole numbers; ObjectiveError otherwise."""
    if place is None:
        return None
    try:
        given = tuple(place.tolist() if hasattr(place, "tolist") else cast("Sequence[Any]", place))
        if given and isinstance(given[0], Sequence):
            places = tuple(_whole(one) for one in given)
            if len({len(one) for one in places}) == 1:
                return places
        elif given:
            return _whole(given)
    except (AttributeError, TypeError):
        pass
    raise ObjectiveError(f"a place of layer '{layer}' is a whole number for each axis, or a sequence of such places, not {place!r}")


def _whole(numbers: Sequence[Any]) -> tuple[int, ...]:
    clean = tuple(check_whole("a place", value.__index__(), ANY, ObjectiveError) for value in numbers)
    if not clean:
        raise TypeError
    return clean


def by_axis(places: Positions) -> Where:
    """Return the position along each axis of a place, or of a place for each item."""
    rows = [place for place in places if isinstance(place, tuple)]
    return tuple(zip(*rows, strict=True)) if rows else tuple(place for place in places if isinstance(place, int))


def by_item(where: Where) -> Positions:
    """Return positions by axis as a place, or as a place for each item."""
    count = next((len(value) for value in where if isinstance(value, tuple)), None)
    places = [tuple(cast("int", per_item(value, i)) for value in where) for i in range(count or 1)]
    return places[0] if count is None else tuple(places)
