"""The net sees the image under noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.engine.native import random
from dreamopt.image.per_sample import stacked
from dreamopt.image.transform import Transform
from dreamopt.parts.checks import NOT_NEGATIVE, Fields
from dreamopt.parts.schedule import Number, StepContext, at
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Noise(Transform):
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

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return each item under its own noise."""
        if image.is_meta:  # of which the size alone is asked for
            return image
        grey = 1.0 if context.space is None else context.space.grey_level
        normal, uniform = at(self.normal, context) * grey, at(self.uniform, context) * grey
        shape = image.shape[1:]
        if normal > 0:
            drawn = [random.normal(stream.generator("normal"), shape, image) for stream in streams]
            image = torch.add(image, stacked(drawn), alpha=normal)
        if uniform > 0:
            drawn = [random.uniform(stream.generator("uniform"), -1, 1, shape, image) for stream in streams]
            image = torch.add(image, stacked(drawn), alpha=uniform)
        return image
