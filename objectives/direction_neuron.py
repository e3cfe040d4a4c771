"""A direction in a layer's channels, at one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective import NOT_NEGATIVE, Activations, Block, Fields, Layers, VectorObjective, Windowed, per_item
from dreamopt.objectives.direction import along
from dreamopt.objectives.neuron import Place, block_at, checked_place, frozen_position, pick_place


@dataclass(frozen=True)
class DirectionNeuron(VectorObjective):
    r"""A direction in a layer's channels at one place of its grid.

    .. math:: s_n = (a_{n, y, x} \cdot v)\; \max(0.1,\, \cos(a_{n, y, x}, v))^q

    Parameters
    ----------
    layer : str
        What that layer wrote, (N, C, H, W) or (N, K).
    vector : sequence of float, str, or a sequence of these
        C numbers, or the path of a .npy file of them; a sequence gives one to each item.
    y, x : int or sequence of int, optional
        Row and column from 0, or one for each item; None is the centre, ``H // 2`` and ``W // 2``. A flat layer has none.
    power : float
        q, at least 0; above 0 it asks for the direction more than for its strength.

    Examples
    --------
    >>> print(DirectionNeuron("conv1", "concept.npy", 3, 5))
    DirectionNeuron("conv1", "concept.npy", y=3, x=5)
    """

    examples: ClassVar = (
        "direction_neuron({layer}, {vector})",
        "direction_neuron({layer}, ({vector}, {vector2}, {vector3}))",
        "direction_neuron({layer}, {vector}, 2, 7, 1)",
        "direction_neuron({layer}, ({vector}, {vector2}, {vector3}), (2, 0, 6), (7, 8, 1), 1)",
        "direction_neuron({layer}, {vector}, (2, 0, 6), 7)",
        "direction_neuron({classifier}, {class_vector}, power=2)",
        "direction_neuron({classifier}, ({class_vector}, {class_vector2}, {class_vector3}), power=2)",
    )

    y: Place = None
    x: Place = None
    power: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, ObjectiveError).number("power", NOT_NEGATIVE)
        for axis in ("y", "x"):
            object.__setattr__(self, axis, frozen_position(axis, getattr(self, axis)))
        if (self.y is None) != (self.x is None):
            raise ObjectiveError(f"a place in layer '{self.layer}' needs both y and x, or neither for the centre")
        if len({n for n in self._counts() if n is not None}) > 1:
            raise ObjectiveError(f"vector, y and x of a direction of layer '{self.layer}' are for different numbers of items")

    def _counts(self) -> list[int | None]:
        return [super().batch, *(len(v) if isinstance(v, tuple) else None for v in (self.y, self.x))]

    @property
    def batch(self) -> int | None:
        """The number of vectors or places, None where there is one for all items."""
        return next((n for n in self._counts() if n is not None), None)

    def item(self, index: int) -> Self:
        """Return item ``index``'s direction and place."""
        alone = super().item(index) if super().batch is not None else self
        return dataclasses.replace(alone, y=per_item(self.y, index), x=per_item(self.x, index))

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Self:
        """Read the vectors, check them and the place, and resolve the centre.

        Raises
        ------
        TargetError
            For an unknown layer, or a place out of range.
        ObjectiveError
            For a vector that does not fit.
        """
        bound = super().bind(network, size)
        where = checked_place(bound.layer, network.shape_of(bound.layer, size), self._where)
        # Of a signal or a volume the centre alone can be meant, which is found again at every step.
        return dataclasses.replace(bound, y=where[0], x=where[1]) if len(where) == 2 else bound

    @property
    def _where(self) -> tuple[Place, ...]:
        return () if self.y is None else (self.y, self.x)

    @property
    def additive(self) -> Literal["sum"] | None:
        """One place's value, on maps."""
        return "sum" if self.y is not None else None

    def part(self, layer: str, activation: Tensor, block: Block) -> Tensor:
        """Return each item's value where its place lies in the block, else 0."""
        where = checked_place(layer, (activation.shape[1], *block.whole), self._where)
        vectors, values = self.reference(activation), []
        for i in range(activation.shape[0]):
            at = block.place(*(position for value in where if (position := per_item(value, i)) is not None))
            if at is None:
                values.append(activation.new_zeros(()))
            else:
                units = activation[i : i + 1, :, at[0], at[1], None]
                values.append(along(units, vectors[i if len(vectors) > 1 else 0, None, :, None], self.power)[0, 0])
        return torch.stack(values)

    def windowed(self, shapes: Mapping[str, tuple[int, ...]]) -> Windowed | None:
        """Return its place."""
        block = block_at(shapes[self.layer], self.y, self.x)
        return None if block is None else Windowed({self.layer: block}, dataclasses.replace(self, y=0, x=0))

    def value(self, activations: Activations) -> Tensor:
        """Return each item's value at its place."""
        a = activations[self.layer]
        where = checked_place(self.layer, tuple(a.shape[1:]), self._where)
        column = pick_place(a, where) if where else a
        return along(column[:, :, None], self.reference(a)[:, :, None], self.power)[:, 0]
