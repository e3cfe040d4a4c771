"""AdamW: Adam with a decay of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.optimize.optimizer import State
from dreamopt.optimize.optimizers.adam import Adam
from dreamopt.parts.checks import NOT_NEGATIVE, Fields
from dreamopt.parts.schedule import StepContext, at


@dataclass(frozen=True)
class AdamW(Adam):
    r"""Adam, after the parameters have been drawn towards 0, which the gradient's running means do not see.

    .. math:: p \leftarrow (1 - \eta \lambda)\, p, \quad \text{then a step of Adam}

    Parameters
    ----------
    step_size, beta1, beta2, epsilon
        As of `Adam`; η in grey levels.
    weight_decay : float
        λ, at least 0: what part of the parameters goes at each step, per grey level of the step size. With pixels, 0 is
        the mean colour. Above 0, parameters move even where the gradient is zero.

    References
    ----------
    .. [1] Loshchilov, Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "adam_w(weight_decay=0)",
        "adam_w(Linear(3, 1), weight_decay=0.05)",
    )

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self).number("weight_decay", NOT_NEGATIVE)

    @property
    def moves_without_gradient(self) -> bool:
        """Whether there is a decay."""
        return self.weight_decay > 0

    def step(self, params: Tensor, gradient: Tensor, state: State, context: StepContext, unit: float) -> tuple[Tensor, State]:
        """Decay, then step as Adam does."""
        decayed = params * (1 - at(self.step_size, context) * self.weight_decay) if self.weight_decay else params
        return super().step(decayed, gradient, state, context, unit)
