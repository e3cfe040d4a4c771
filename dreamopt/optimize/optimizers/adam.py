"""Adam, uphill."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.engine.native import adam as native
from dreamopt.optimize.optimizer import Optimizer, State
from dreamopt.parts.checks import DECAY, POSITIVE, Fields
from dreamopt.parts.schedule import Number, StepContext, at
from dreamopt.parts.tuned import Tuned


@dataclass(frozen=True)
class Adam(Optimizer):
    r"""Step by a running mean of the gradient, divided by a running mean of its size, number by number.

    .. math::

        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        p \leftarrow p + \eta\, u\, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon / u}

    with t = 1, 2, ... and u one grey level in the parameters. Every number has its own scale, so samples do not touch.

    Parameters
    ----------
    step_size : float or Schedule
        η, above 0, in grey levels: about how far a number moves while its gradient keeps its sign.
    beta1, beta2 : float
        Memory of the mean and of the size, from 0 to below 1.
    epsilon : float
        ε, above 0, in units of the gradient per grey level; where gradients are much smaller, steps shrink.

    References
    ----------
    .. [1] Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "adam()",
        "adam(Linear(3, 1), beta1=0.5)",
        "adam(0.5, beta1=0, beta2=0.9, epsilon=1e-3)",
    )

    tuned: ClassVar[Mapping[str, Tuned]] = {"step_size": Tuned(0.5, 128)}

    step_size: Number = 2.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        Fields(self).scheduled("step_size", POSITIVE).number("beta1", DECAY).number("beta2", DECAY).number("epsilon", POSITIVE)

    def start(self, params: Tensor) -> State:
        """Return both means at 0, and the count of steps."""
        count = torch.zeros(params.shape[0], dtype=torch.float64)
        return {"mean": torch.zeros_like(params), "square": torch.zeros_like(params), "count": count}

    def step(self, params: Tensor, gradient: Tensor, state: State, context: StepContext, unit: float) -> tuple[Tensor, State]:
        """Step by the corrected means."""
        mean, square, count = state["mean"], state["square"], state["count"] + 1
        # The same for all samples, but for those that were rolled back.
        counts = count.tolist()
        if len(set(counts)) == 1:
            moved, mean, square = self._moved(params, gradient, mean, square, self._numbers(counts[0], context, unit))
        else:
            alone = []
            for k, t in enumerate(counts):
                own, numbers = slice(k, k + 1), self._numbers(t, context, unit)
                alone.append(self._moved(params[own], gradient[own], mean[own], square[own], numbers))
            moved, mean, square = (torch.cat(samples) for samples in zip(*alone, strict=True))
        return moved, {"mean": mean, "square": square, "count": count}

    def _numbers(self, count: float, context: StepContext, unit: float) -> native.Numbers:
        # The root of v's correction is taken out of the fraction, so that a number takes the place of a pass over the parameters.
        root = math.sqrt(1 - self.beta2**count)
        rate = at(self.step_size, context) * unit / (1 - self.beta1**count) * root
        return native.Numbers(self.beta1, self.beta2, rate, self.epsilon / unit * root)

    @staticmethod
    def _moved(params: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, numbers: native.Numbers) -> tuple[Tensor, Tensor, Tensor]:
        if native.can_step(params, gradient, mean, square):
            return native.step(params, gradient, mean, square, numbers)
        mean = mean.lerp(gradient, 1 - numbers.beta1)
        square = square.mul(numbers.beta2).addcmul_(gradient, gradient, value=1 - numbers.beta2)
        return torch.addcdiv(params, mean, square.sqrt().add_(numbers.epsilon), value=numbers.rate), mean, square
