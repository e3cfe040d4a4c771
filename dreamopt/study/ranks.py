"""How a unit stands among the units of its layer."""

from __future__ import annotations

import dataclasses
from math import prod

import torch
from torch import Tensor

from dreamopt.objective import Objective, Scaled, UnitObjective
from dreamopt.study.measure import Finished
from dreamopt.study.scores import activations_of_image, one_item

_VALUES = 2**22
"""Of activations that are compared at once."""


def unit_of(objective: Objective) -> UnitObjective | None:
    """Return the objective of the one unit that is asked for; None where it is anything else, a sum or a unit that is to be low."""
    alone = one_item(objective)
    while isinstance(alone, Scaled) and alone.factor > 0:
        alone = alone.term
    return alone if isinstance(alone, UnitObjective) and isinstance(alone.unit, int) else None


def rank_of(finished: Finished) -> int | None:
    """Return how many units of the layer have at least the unit's value, itself among them; None where no unit is asked for.

    Each unit's value is what the objective would be of that one: at the same place of a neuron, a mean over space of a channel. 1 is the
    highest alone; in a layer of dead ReLUs all units have the last rank.
    """
    objective = unit_of(finished.objective)
    if objective is None:
        return None
    activation = activations_of_image(finished, objective.layers)[objective.layer]
    number, values = int(objective.unit), _of_every_unit(objective, activation)  # type: ignore[arg-type]  # a number, as `unit_of` says
    return int((values >= values[number]).sum())


def _of_every_unit(objective: UnitObjective, activation: Tensor) -> Tensor:
    """Return the objective of each unit of a layer, (K,), for an activation (1, K, ...)."""
    count = activation.shape[1]
    together = max(1, _VALUES // prod(activation.shape[1:]))
    parts = []
    for first in range(0, count, together):
        units = tuple(range(first, min(first + together, count)))
        of_units = dataclasses.replace(objective, unit=units)  # type: ignore[type-var]  # subclasses are dataclasses
        parts.append(of_units({objective.layer: activation.expand(len(units), *activation.shape[1:])}))
    return torch.cat(parts)
