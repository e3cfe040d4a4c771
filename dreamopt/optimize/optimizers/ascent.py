"""Gradient ascent, plain or normalized, with or without momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.optimizer import Optimizer, State, per_item
from dreamopt.schedule import Moment, Number, at, smallest


@dataclass(frozen=True)
class Ascent(Optimizer):
    r"""Step along the gradient, divided by its own size.

    .. math:: m \leftarrow \mu\, m + g / \nu(g), \qquad p \leftarrow p + \eta\, u\, m

    with u one grey level in the parameters and ν taken over each item by itself. With ``norm="mean"``, jitter and a clip
    to black and white it is DeepDream's step: pixels move by η grey levels on average, whatever the gradient's size.

    Parameters
    ----------
    step_size : float or Schedule
        η, above 0, in grey levels (for ``norm="l2"`` the length of the whole step; for ``"none"`` grey levels squared per unit
        of the objective). 1.5 is DeepDream's.
    norm : {"mean", "l2", "std", "none"}
        ν: mean of \|g\|, the Euclidean norm, the standard deviation, or 1. A gradient of zero stays zero.
    momentum : float
        μ, from 0 to below 1. Larger values even the path out and lengthen it, up to 1 / (1 - μ) times.

    References
    ----------
    .. [1] google/deepdream, ``dream.ipynb``, ``make_step`` (step 1.5, jitter 32).
    """

    step_size: Number = 1.5
    norm: Literal["mean", "l2", "std", "none"] = "mean"
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if smallest(self.step_size) <= 0:
            raise UsageError(f"the step of Ascent must be above 0, not {self.step_size}")
        if self.norm not in ("mean", "l2", "std", "none"):
            raise UsageError(f"norm of Ascent must be mean, l2, std or none, not '{self.norm}'")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum of Ascent must be from 0 to below 1, not {self.momentum}")

    def start(self, params: Tensor) -> State:
        """Return the momentum before the first step."""
        return {"momentum": torch.zeros_like(params)} if self.momentum else {}

    def step(self, params: Tensor, gradient: Tensor, state: State, moment: Moment, unit: float) -> tuple[Tensor, State]:
        """Step along the normalized gradient."""
        direction = gradient
        if self.norm == "none":
            # A gradient per grey level is `unit` times one per parameter, and moves the parameter by `unit` more.
            direction = gradient * unit
        else:
            size = per_item(_sizes(gradient.flatten(1), self.norm), gradient)
            direction = torch.where(size > 0, gradient / torch.where(size > 0, size, 1), 0)
        if self.momentum:
            direction = self.momentum * state["momentum"] + direction
            state = {"momentum": direction}
        return params + at(self.step_size, moment) * unit * direction, state


def _sizes(rows: Tensor, norm: str) -> Tensor:
    # Item by item: a reduction over a whole batch may sum in another order than over one item.
    if norm == "mean":
        return torch.stack([row.abs().mean() for row in rows])
    if norm == "l2":
        return torch.stack([row.norm() for row in rows])
    return torch.stack([row.std(correction=0) for row in rows])
