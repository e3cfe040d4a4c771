"""Bases of objectives: of one unit of one layer, and of those that compare the samples of a batch."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

from torch import Tensor

from dreamopt.errors import ObjectiveError, TargetError
from dreamopt.objective.objective import Activations, Layers, Objective
from dreamopt.objective.units import Unit, frozen_layers, frozen_units, highest, per_item
from dreamopt.parts.checks import Fields


class UnitObjective(Objective):
    """Base of objectives that pick one unit of one layer, the same for all items or one for each; needs `layer` and `unit`."""

    takes_labels: ClassVar[bool] = False
    """Whether a unit may be named by a class's label."""

    layer: str
    unit: Unit

    def __post_init__(self) -> None:
        Fields(self, ObjectiveError).text("layer")
        object.__setattr__(self, "unit", frozen_units(self.unit))

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    @property
    def batch(self) -> int | None:
        """The number of units, None for a single one."""
        return len(self.unit) if isinstance(self.unit, tuple) else None

    def item(self, index: int) -> Self:
        """Return the objective with item ``index``'s unit alone."""
        return dataclasses.replace(self, unit=per_item(self.unit, index))  # type: ignore[type-var]  # subclasses are dataclasses

    def checked_unit(self, shape: tuple[int, ...]) -> int | tuple[int, ...]:
        """Return the unit(s), each known to be a number below the layer's ``shape[0]``; TargetError otherwise."""
        units = self.unit if isinstance(self.unit, tuple) else (self.unit,)
        what = "unit" if len(shape) == 1 else "channel"
        for unit in units:
            if isinstance(unit, str):
                raise TargetError(f"'{unit}' is no {what} number of layer '{self.layer}'; only ClassScore takes label names")
            if not 0 <= unit < shape[0]:
                raise TargetError(f"layer '{self.layer}' has no {what} {unit}: it has {shape[0]}, numbered 0 to {shape[0] - 1}")
        numbers = tuple(int(unit) for unit in units)
        return numbers if isinstance(self.unit, tuple) else numbers[0]

    def is_argmax(self, activations: Activations) -> Tensor:
        """Whether the unit is the highest of its layer."""
        a = activations[self.layer]
        return highest(a, self.checked_unit(tuple(a.shape[1:])))

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Self:
        """Check the layer and the unit, and turn labels into numbers.

        Raises
        ------
        TargetError
            For an unknown layer, a unit out of range, or a name that is no label or several.
        """
        layer = network.resolve(self.layer)
        shape = network.shape_of(layer, size)
        units = self.unit if isinstance(self.unit, tuple) else (self.unit,)
        if self.takes_labels:
            units = tuple(network.find_label(unit) if isinstance(unit, str) else unit for unit in units)
        # Each of these is a dataclass, which the base cannot say.
        bound = dataclasses.replace(self, layer=layer, unit=units if isinstance(self.unit, tuple) else units[0])  # type: ignore[type-var]
        return dataclasses.replace(bound, unit=bound.checked_unit(shape))  # type: ignore[type-var]


class CoupledObjective(Objective):
    """Base of objectives that compare the samples of a batch at one layer or several; needs `layer`."""

    layer: str | tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", frozen_layers(self.layer))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are compared."""
        return (self.layer,) if isinstance(self.layer, str) else self.layer

    @property
    def coupled(self) -> bool:
        """It compares the samples."""
        return True

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Self:
        """Check the layers; TargetError for an unknown one."""
        names = tuple(network.resolve(layer) for layer in self.layers)
        return dataclasses.replace(self, layer=names[0] if isinstance(self.layer, str) else names)  # type: ignore[type-var]  # a dataclass
