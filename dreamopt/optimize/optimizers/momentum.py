"""Momentum with the learning rate inside the memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.optimize.norms import NORMS, Norm, normalized
from dreamopt.optimize.optimizer import Optimizer, State, per_item
from dreamopt.parts.checks import DECAY, POSITIVE, Fields
from dreamopt.parts.schedule import Number, StepContext, at
from dreamopt.parts.tuned import Tuned


@dataclass(frozen=True)
class Momentum(Optimizer):
    r"""Step by a memory of earlier steps, as Mahendran and Vedaldi's inversion and cnn-vis do.

    .. math:: m \leftarrow \mu\, m + \eta\, u\, g / \nu(g), \qquad p \leftarrow p + m

    with u one grey level in the parameters. As long as η stays the same, this is ``Ascent(η, norm, momentum=μ)``; when η
    falls, the memory here keeps the length of the old steps, unless it is cleared.

    Parameters
    ----------
    step_size : float or Schedule
        η, above 0; in grey levels, for ``norm="none"`` in grey levels squared per unit of the objective.
    momentum : float
        μ, from 0 to below 1.
    norm : {"none", "mean", "window", "l2", "std"}
        ν, over each sample by itself: 1, the mean of \|g\|, the Euclidean norm, or the standard deviation.
    reset : bool
        Whether the memory is cleared when η is not what it was at the step before. Meant for η in `Piecewise`; with an η
        that changes at every step there would be no memory.

    References
    ----------
    .. [1] Mahendran, Vedaldi, "Understanding Deep Image Representations by Inverting Them", 2015, section 3.2 (momentum
       0.9, cleared when the learning rate changes).
    """

    examples: ClassVar[tuple[str, ...]] = (
        "momentum(0.1)",
        'momentum(Piecewise((0, 3), (1, 0.1)), 0.5, "mean", reset=True)',
    )

    tuned: ClassVar[Mapping[str, Tuned]] = {"step_size": Tuned(0.1, 1000)}

    step_size: Number = 1.0
    momentum: float = 0.9
    norm: Norm = "none"
    reset: bool = False

    def __post_init__(self) -> None:
        Fields(self).scheduled("step_size", POSITIVE).number("momentum", DECAY).choice("norm", NORMS).flag("reset")

    def tuned_ranges(self) -> Mapping[str, Tuned]:
        """Return the range of the step size, which counts something else with other norms."""
        others = {"none": self.tuned["step_size"], "l2": Tuned(0.1, 1000)}
        return {"step_size": others.get(self.norm, Tuned(0.03, 4))}

    def start(self, params: Tensor) -> State:
        """Return an empty memory, and no learning rate yet."""
        return {"momentum": torch.zeros_like(params), "rate": torch.full((params.shape[0],), torch.nan, dtype=torch.float64)}

    def step(self, params: Tensor, gradient: Tensor, state: State, context: StepContext, unit: float) -> tuple[Tensor, State]:
        """Step by the memory."""
        rate, memory, before = at(self.step_size, context), state["momentum"], state["rate"]
        if self.reset and any(number != rate for number in before.tolist()):
            memory = torch.where(per_item((before == rate).to(memory.device), memory), memory, 0)
        memory = self.momentum * memory + rate * unit * normalized(gradient, self.norm, unit)
        return params + memory, {"momentum": memory, "rate": torch.full_like(before, rate)}
