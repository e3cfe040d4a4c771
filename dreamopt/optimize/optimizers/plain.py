"""Plain gradient ascent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.optimize.optimizer import Optimizer, State
from dreamopt.parts.checks import POSITIVE, Fields
from dreamopt.parts.schedule import Number, StepContext, at
from dreamopt.parts.tuned import Tuned


@dataclass(frozen=True)
class Plain(Optimizer):
    r"""Step along the gradient as it is: Yosinski's constant learning rate.

    .. math:: p \leftarrow p + \eta\, u^2 g

    with u one grey level in the parameters, so that η is the learning rate of a net whose input counts grey levels.

    Parameters
    ----------
    step_size : float or Schedule
        η, above 0, in grey levels squared per unit of the objective. The step's length follows the gradient's; 100 is
        usual for the logits of nets that see 0-255.

    References
    ----------
    .. [1] Yosinski et al., "Understanding Neural Networks Through Deep Visualization", 2015, table 1 (100).
    """

    examples: ClassVar[tuple[str, ...]] = ("plain(0.1)",)

    tuned: ClassVar[Mapping[str, Tuned]] = {"step_size": Tuned(1, 10_000)}

    step_size: Number = 100.0

    def __post_init__(self) -> None:
        Fields(self).scheduled("step_size", POSITIVE)

    def step(self, params: Tensor, gradient: Tensor, state: State, context: StepContext, unit: float) -> tuple[Tensor, State]:
        """Step along the gradient."""
        return params + at(self.step_size, context) * unit * (gradient * unit), state
