"""The net sees the image under noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.native import random
from dreamopt.image.moves import Moves, Noised
from dreamopt.image.moving import Moving
from dreamopt.parts.checks import NOT_NEGATIVE, Fields
from dreamopt.parts.schedule import Number, StepContext, at
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Noise(Moving):
    r"""Add noise to what the net sees.

    .. math:: x' = x + \sigma\, n + u, \qquad n \sim N(0, 1), \quad u \sim U(-a, a)

    for every value by itself.

    Parameters
    ----------
    normal : float or Schedule
        σ in grey levels, at least 0. Larger values ask for features that stand out more.
    uniform : float or Schedule
        a in grey levels, at least 0. MaCo has both, with a = σ / 2.

    References
    ----------
    .. [1] Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization", 2023.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "noise(8)",
        "noise(uniform=4)",
        "noise(Linear(8, 1), Linear(4, 1))",
    )
    random: ClassVar[bool] = True
    identity: ClassVar[str] = "noise()"

    normal: Number = 0.0
    uniform: Number = 0.0

    def __post_init__(self) -> None:
        Fields(self).scheduled("normal", NOT_NEGATIVE).scheduled("uniform", NOT_NEGATIVE)

    def moves(self, image: Tensor, stream: Stream, context: StepContext) -> Moves:
        """Return the item's own noise."""
        if image.is_meta:  # of which the size alone is asked for
            return ()
        grey = 1.0 if context.space is None else context.space.grey_level
        normal, uniform = at(self.normal, context) * grey, at(self.uniform, context) * grey
        shape, drawn, weight = image.shape[1:], None, normal
        if normal > 0:
            drawn = random.normal(stream.generator("normal"), shape, image)
        if uniform > 0:
            even = random.uniform(stream.generator("uniform"), -1, 1, shape, image)
            drawn, weight = (even, uniform) if drawn is None else (drawn.mul_(normal).add_(even, alpha=uniform), 1.0)
        return () if drawn is None else (Noised(drawn, weight),)
