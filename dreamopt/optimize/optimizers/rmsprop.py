"""RMSprop, uphill."""

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
class RMSprop(Optimizer):
    r"""Step along the gradient, divided by a running mean of its size, number by number.

    .. math:: v \leftarrow \rho\, v + (1 - \rho)\, g^2, \qquad p \leftarrow p + \eta\, u\, g / \sqrt{v + \epsilon}

    where g is per grey level, or normalized, and u is one grey level in the parameters. v is not corrected for its start
    at 0, so the first steps are up to :math:`1 / \sqrt{1 - \rho}` times as long as the later ones.

    Parameters
    ----------
    step_size : float or Schedule
        η, above 0, in grey levels.
    decay : float
        ρ, from 0 to below 1: how long v remembers.
    epsilon : float
        ε, above 0, in units of g² (with ``inside=False`` of g).
    inside : bool
        Whether ε stands inside the root, or is added to the root, as torch and Keras do.
    norm : {"none", "mean", "window", "l2", "std"}
        What the gradient is divided by first: nothing, or as in `Ascent`. "l2" is keras-vis'.

    References
    ----------
    .. [1] Johnson, cnn-vis: RMSprop(1, 0.95).
    .. [2] Kotikalapudi, keras-vis: RMSprop(norm="l2").
    """

    examples: ClassVar[tuple[str, ...]] = (
        "rmsprop()",
        "rmsprop(2, 0.9, 1e-3, inside=False)",
        'rmsprop(norm="l2")',
    )

    tuned: ClassVar[Mapping[str, Tuned]] = {"step_size": Tuned(0.125, 8)}

    step_size: Number = 1.0
    decay: float = 0.95
    epsilon: float = 1e-8
    inside: bool = True
    norm: Norm = "none"

    def __post_init__(self) -> None:
        fields = Fields(self).scheduled("step_size", POSITIVE).number("decay", DECAY).number("epsilon", POSITIVE)
        fields.flag("inside").choice("norm", NORMS)

    def start(self, params: Tensor) -> State:
        """Return the mean square at 0."""
        return {"square": torch.zeros_like(params)}

    def step(self, params: Tensor, gradient: Tensor, state: State, context: StepContext, unit: float) -> tuple[Tensor, State]:
        """Step by the gradient over its running size."""
        direction = normalized(gradient, self.norm, unit)
        square = state["square"].mul(self.decay).addcmul_(direction, direction, value=1 - self.decay)
        size = square.add(self.epsilon).sqrt_() if self.inside else square.sqrt().add_(self.epsilon)
        return params + at(self.step_size, context) * unit * direction / size, {"square": square}
