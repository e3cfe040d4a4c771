"""Gradient ascent, plain or normalized, with or without momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.optimize.norms import NORMS, Norm, normalized
from dreamopt.optimize.optimizer import Optimizer, State
from dreamopt.parts.checks import DECAY, POSITIVE, Fields
from dreamopt.parts.schedule import Number, StepContext, at
from dreamopt.parts.tuned import Tuned


@dataclass(frozen=True)
class Ascent(Optimizer):
    r"""Step along the gradient, divided by its own size.

    .. math:: m \leftarrow \mu\, m + g / \nu(g), \qquad p \leftarrow p + \eta\, u\, m

    with u one grey level in the parameters and ν taken over each sample by itself. With ``norm="mean"``, jitter and a clip
    to black and white it is DeepDream's step: pixels move by η grey levels on average, whatever the gradient's size.

    Parameters
    ----------
    step_size : float or Schedule
        η, above 0, in grey levels (for ``norm="l2"`` the length of the whole step; for ``"none"`` grey levels squared per unit
        of the objective). 1.5 is DeepDream's.
    norm : {"mean", "window", "l2", "std", "none"}
        ν: mean of \|g\|, the Euclidean norm, the standard deviation, or 1. A gradient of zero stays zero.
    momentum : float
        μ, from 0 to below 1. Larger values even the path out and lengthen it, up to 1 / (1 - μ) times.

    See Also
    --------
    Plain : the gradient as it is. Momentum : the form in which the learning rate stands inside the memory.

    References
    ----------
    .. [1] google/deepdream, ``dream.ipynb``, ``make_step`` (step 1.5, jitter 32).
    """

    examples: ClassVar[tuple[str, ...]] = (
        "ascent()",
        'ascent(0.7, norm="l2")',
        'ascent(Geometric(2, 0.5), norm="std")',
        'ascent(0.1, norm="none")',
        "ascent(1, momentum=0.9)",
        'ascent(0.1, norm="none", momentum=0.5)',
    )

    tuned: ClassVar[Mapping[str, Tuned]] = {"step_size": Tuned(0.125, 16)}

    step_size: Number = 1.5
    norm: Norm = "mean"
    momentum: float = 0.0

    def __post_init__(self) -> None:
        Fields(self).scheduled("step_size", POSITIVE).choice("norm", NORMS).number("momentum", DECAY)

    def tuned_ranges(self) -> Mapping[str, Tuned]:
        """Return the range of the step size, which counts something else with other norms."""
        others = {"l2": Tuned(1, 10_000), "none": Tuned(1, 10_000)}
        return {"step_size": others[self.norm]} if self.norm in others else self.tuned

    def start(self, params: Tensor) -> State:
        """Return the momentum before the first step."""
        return {"momentum": torch.zeros_like(params)} if self.momentum else {}

    def step(self, params: Tensor, gradient: Tensor, state: State, context: StepContext, unit: float) -> tuple[Tensor, State]:
        """Step along the normalized gradient."""
        direction = normalized(gradient, self.norm, unit)
        if self.momentum:
            direction = self.momentum * state["momentum"] + direction
            state = {"momentum": direction}
        if self.momentum or self.norm == "none":
            return params + at(self.step_size, context) * unit * direction, state
        # In place, in the direction's own memory: an image may be large.
        return direction.mul_(at(self.step_size, context) * unit).add_(params), state
