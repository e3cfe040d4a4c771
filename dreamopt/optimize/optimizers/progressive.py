"""Yosinski's "progress" policy: each step is to raise the value by the same amount."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.optimize.norms import sizes
from dreamopt.optimize.optimizer import Optimizer, State, per_item
from dreamopt.parts.checks import POSITIVE, Fields
from dreamopt.parts.schedule import Number, StepContext, at
from dreamopt.parts.tuned import Tuned


@dataclass(frozen=True)
class Progressive(Optimizer):
    r"""Step along the gradient as far as should raise the value by ``desired``, if it were a straight line.

    .. math:: p \leftarrow p + \min\Bigl(\eta_{max}, \frac{d}{\|u g\|^2}\Bigr)\, u^2 g

    with u one grey level in the parameters, and the norm over each sample by itself.

    Parameters
    ----------
    desired : float or Schedule
        d, above 0, in units of the objective. The gain at each step to first order, whatever the net's scale.
    max_step : float or Schedule
        η_max, above 0, in grey levels squared per unit of the objective: the most that the gradient is multiplied by, for
        starts where it is small.

    References
    ----------
    .. [1] Yosinski et al., "Understanding Neural Networks Through Deep Visualization", 2015, table 1 (desired 2 with at
       most 100, or at most 1e8); deep-visualization-toolbox, ``gradient_optimizer.py``, policy "progress".
    """

    examples: ClassVar[tuple[str, ...]] = (
        "progressive(2, 0.1)",
        "progressive(Linear(20, 1), 1e8)",
    )

    tuned: ClassVar[Mapping[str, Tuned]] = {"desired": Tuned(0.1, 100)}

    desired: Number = 2.0
    max_step: Number = 100.0

    def __post_init__(self) -> None:
        Fields(self).scheduled("desired", POSITIVE).scheduled("max_step", POSITIVE)

    def step(self, params: Tensor, gradient: Tensor, state: State, context: StepContext, unit: float) -> tuple[Tensor, State]:
        """Step along the gradient, as far as the policy says."""
        gain = self.gain(gradient, context)
        steepness = (sizes(gradient, "l2") * unit).square()
        most = torch.full_like(steepness, at(self.max_step, context))
        rate = torch.minimum(most, gain / torch.where(steepness > 0, steepness, 1))
        return params + per_item(rate, gradient) * unit * (gradient * unit), state

    def gain(self, gradient: Tensor, context: StepContext) -> Tensor:
        """Return the gain that is aimed at, (N,)."""
        return gradient.new_full((gradient.shape[0],), at(self.desired, context))
