"""Yosinski's "progress01" policy, for values between 0 and 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import OptimizeError
from dreamopt.optimize.optimizers.progressive import Progressive
from dreamopt.parts.checks import POSITIVE, Fields
from dreamopt.parts.schedule import Number, StepContext, at
from dreamopt.parts.tuned import Tuned


@dataclass(frozen=True)
class Progressive01(Progressive):
    r"""As `Progressive`, for a probability: the gain that is aimed at shrinks as the value nears 1.

    .. math:: d = \min\bigl(d_{early},\; c\,(1 - v)\bigr)

    with v the sample's value (penalties subtracted) before the step, and d = 0 where it is above 1.

    Parameters
    ----------
    desired : float or Schedule
        d_early, above 0: the gain of the first steps.
    max_step : float or Schedule
        As of `Progressive`.
    late : float or Schedule
        c, above 0: which part of what is missing to 1 the late steps aim at.

    References
    ----------
    .. [1] Yosinski et al., deep-visualization-toolbox, ``gradient_optimizer.py``, policy "progress01".
    """

    examples: ClassVar[tuple[str, ...]] = ("progressive01(0.5, 0.01, 0.2)",)

    tuned: ClassVar[Mapping[str, Tuned]] = {"desired": Tuned(0.01, 1)}

    desired: Number = 0.1
    late: Number = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self).scheduled("late", POSITIVE)

    def gain(self, gradient: Tensor, context: StepContext) -> Tensor:
        """Return the gain that is aimed at, (N,)."""
        if context.values is None:
            raise OptimizeError(f"{self} needs the values before the step, which this loop does not tell it (Moment.values)")
        missing = (1 - context.values.to(gradient)).clamp(min=0)
        return torch.minimum(at(self.late, context) * missing, super().gain(gradient, context))
