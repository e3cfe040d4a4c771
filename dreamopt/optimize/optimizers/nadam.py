"""NAdam, uphill: Adam that looks one step ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.optimize.norms import each
from dreamopt.optimize.optimizer import Optimizer, State
from dreamopt.parts.checks import DECAY, NOT_NEGATIVE, POSITIVE, Fields
from dreamopt.parts.schedule import Number, StepContext, at
from dreamopt.parts.tuned import Tuned


@dataclass(frozen=True)
class NAdam(Optimizer):
    r"""Adam with Nesterov's momentum: of the running mean it takes the part that the next step would.

    .. math::

        \mu_t = \beta_1 (1 - \tfrac12\, 0.96^{t \psi}), \quad
        p \leftarrow p + \eta\, u \Bigl( \frac{\mu_{t+1}\, m}{1 - \prod_{i \le t+1} \mu_i}
        + \frac{(1 - \mu_t)\, g}{1 - \prod_{i \le t} \mu_i} \Bigr) \Big/ \bigl(\sqrt{v / (1 - \beta_2^t)} + \epsilon / u\bigr)

    with the means m and v of `Adam`, t = 1, 2, ..., and u one grey level in the parameters.

    Parameters
    ----------
    step_size : float or Schedule
        η, above 0, in grey levels.
    beta1, beta2 : float
        Memory of the mean and of the size, from 0 to below 1.
    epsilon : float
        ε, above 0, in units of the gradient per grey level.
    momentum_decay : float
        ψ, at least 0: how fast the momentum grows from half of β₁ to β₁.

    References
    ----------
    .. [1] Dozat, "Incorporating Nesterov Momentum into Adam", 2016, algorithm 2.
    .. [2] Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization", 2023
       (NAdam, step 1 in the parametrization's own units).
    """

    examples: ClassVar[tuple[str, ...]] = (
        "nadam()",
        "nadam(1, 0.8, 0.95, 1e-3, 0.1)",
    )

    tuned: ClassVar[Mapping[str, Tuned]] = {"step_size": Tuned(0.5, 32)}

    step_size: Number = 2.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    momentum_decay: float = 4e-3

    def __post_init__(self) -> None:
        fields = Fields(self).scheduled("step_size", POSITIVE).number("beta1", DECAY).number("beta2", DECAY)
        fields.number("epsilon", POSITIVE).number("momentum_decay", NOT_NEGATIVE)

    def start(self, params: Tensor) -> State:
        """Return both means at 0, the count of steps, and the product of the momenta."""
        count = torch.zeros(params.shape[0], dtype=torch.float64)
        return {"mean": torch.zeros_like(params), "square": torch.zeros_like(params), "count": count, "product": count + 1}

    def step(self, params: Tensor, gradient: Tensor, state: State, context: StepContext, unit: float) -> tuple[Tensor, State]:
        """Step by the corrected means, half a step ahead."""
        mean = state["mean"].lerp(gradient, 1 - self.beta1)
        square = state["square"].mul(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        count = state["count"] + 1
        now = self.beta1 * (1 - 0.5 * 0.96 ** (count * self.momentum_decay))
        ahead = self.beta1 * (1 - 0.5 * 0.96 ** ((count + 1) * self.momentum_decay))
        product = state["product"] * now
        rate = at(self.step_size, context) * unit
        of_gradient = each((rate * (1 - now) / (1 - product)).tolist(), params)
        of_mean = each((rate * ahead / (1 - product * ahead)).tolist(), params)
        size = (square / each((1 - self.beta2**count).tolist(), params)).sqrt_().add_(self.epsilon / unit)
        moved = params + (of_gradient * gradient + of_mean * mean) / size
        return moved, {"mean": mean, "square": square, "count": count, "product": product}
