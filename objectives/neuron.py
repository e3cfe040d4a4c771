"""A single neuron: one channel at one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError, TargetError
from dreamopt.objective import Activations, Layers, Unit, UnitObjective, frozen_units, highest, per_item, pick, target_string

Place = int | tuple[int, ...] | None


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

    Examples
    --------
    >>> print(Neuron("conv4", 7, 3, 5))
    conv4:7@3,5
    >>> print(Neuron("conv4", (7, 8)))
    conv4:7,8@centre
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

    def __post_init__(self) -> None:
        super().__post_init__()
        for axis in ("y", "x"):
            object.__setattr__(self, axis, frozen_place(axis, getattr(self, axis)))
        if (self.y is None) != (self.x is None):
            raise ObjectiveError(f"a neuron of layer '{self.layer}' needs both y and x, or neither for the centre")
        if len({len(v) for v in (self.unit, self.y, self.x) if isinstance(v, tuple)}) > 1:
            raise ObjectiveError(f"unit, y and x of a neuron of layer '{self.layer}' are for different numbers of items")
        if isinstance(self.y, tuple) != isinstance(self.x, tuple):
            # A row for each item and one column for all are places for each item: so they print, and so they are read back.
            for axis, other in (("y", self.x), ("x", self.y)):
                if isinstance(other, tuple):
                    object.__setattr__(self, axis, (getattr(self, axis),) * len(other))

    @property
    def batch(self) -> int | None:
        """The number of units or places, None where there is one for all items."""
        return next((len(v) for v in (self.unit, self.y, self.x) if isinstance(v, tuple)), None)

    def item(self, index: int) -> Self:
        """Return item ``index``'s neuron."""
        unit: Unit = self.unit[index] if isinstance(self.unit, tuple) else self.unit
        return dataclasses.replace(self, unit=unit, y=per_item(self.y, index), x=per_item(self.x, index))

    def value(self, activations: Activations) -> Tensor:
        """Return each item's neuron."""
        a = activations[self.layer]
        shape = tuple(a.shape[1:])
        unit = self.checked_unit(shape)
        if len(shape) == 1:
            return pick(a, unit)
        y, x = checked_place(self.layer, shape, self.y, self.x)
        return pick_place(pick(a, unit), y, x)

    def is_argmax(self, activations: Activations) -> Tensor:
        """Whether the channel is the highest at its place."""
        a = activations[self.layer]
        y, x = checked_place(self.layer, tuple(a.shape[1:]), self.y, self.x)
        return highest(a if a.dim() == 2 else pick_place(a, y, x), self.checked_unit(tuple(a.shape[1:])))

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Self:
        """Check the layer, the unit and the place, and resolve the centre.

        Raises
        ------
        TargetError
            For an unknown layer, or a unit or place out of range.
        """
        layer = network.resolve(self.layer)
        shape = network.shape_of(layer, size)
        if not shape:
            raise TargetError(f"layer '{layer}' has no channels: it is a single number")
        bound = dataclasses.replace(self, layer=layer)
        y, x = checked_place(layer, shape, self.y, self.x)
        return dataclasses.replace(bound, unit=bound.checked_unit(shape), y=y, x=x)

    def __str__(self) -> str:
        if self.y is None:
            return target_string(self.layer, self.unit) + "@centre"
        ys, xs = ((v if isinstance(v, tuple) else (v,)) for v in (self.y, self.x))
        count = max(len(ys), len(xs))
        places = [f"{per_item(self.y, i)},{per_item(self.x, i)}" for i in range(count)]
        return target_string(self.layer, self.unit) + "@" + ";".join(places)


def checked_place(layer: str, shape: tuple[int, ...], y: Place, x: Place) -> tuple[Place, Place]:
    """Return row and column, the centre resolved, each known to lie in a layer's items of ``shape``; TargetError otherwise."""
    if len(shape) == 1:
        if y is not None:
            raise TargetError(f"layer '{layer}' is flat, {shape[0]} units without a place; leave out y and x")
        return None, None
    if len(shape) != 3:
        raise TargetError(f"layer '{layer}' has items of shape {shape}; a neuron needs (C, H, W) or (K,)")
    if y is None:
        return shape[1] // 2, shape[2] // 2
    for axis, given, count in (("row y", y, shape[1]), ("column x", x, shape[2])):
        for value in given if isinstance(given, tuple) else (given,):
            if value is not None and not 0 <= value < count:
                raise TargetError(f"layer '{layer}' has no {axis} = {value}: it has {count}, numbered 0 to {count - 1}")
    return y, x


def pick_place(planes: Tensor, y: Place, x: Place) -> Tensor:
    """Return (N, ...): each item's values of ``planes`` (N, ..., H, W) at its row and column."""
    if isinstance(y, tuple) or isinstance(x, tuple):
        return torch.stack([planes[i, ..., per_item(y, i), per_item(x, i)] for i in range(planes.shape[0])])
    return planes[..., y, x]


def frozen_place(axis: str, value: int | Sequence[int] | None) -> Place:
    """Return a row or column, or a sequence of them as a tuple, checked to be whole numbers; ObjectiveError otherwise."""
    if value is None:
        return None
    clean = frozen_units(value)
    numbers = clean if isinstance(clean, tuple) else (clean,)
    if any(isinstance(v, str) for v in numbers):
        raise ObjectiveError(f"{axis} of a neuron is a whole number, not {value!r}")
    whole = tuple(int(v) for v in numbers)
    return whole if isinstance(clean, tuple) else whole[0]
