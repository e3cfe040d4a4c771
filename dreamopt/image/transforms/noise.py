"""The net sees the image under noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.transform import Transform
from dreamopt.parts.schedule import Number, StepContext, at, smallest
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

    normal: Number = 0.0
    uniform: Number = 0.0

    def __post_init__(self) -> None:
        if smallest(self.normal) < 0 or smallest(self.uniform) < 0:
            raise UsageError(f"the noise must be at least 0, not {self.normal} and {self.uniform}")

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return each item under its own noise."""
        grey = 1.0 if context.space is None else context.space.grey_level
        normal, uniform = at(self.normal, context) * grey, at(self.uniform, context) * grey
        shape = image.shape[1:]
        if normal > 0:
            image = image + normal * torch.stack([stream.normal("normal", shape, image) for stream in streams])
        if uniform > 0:
            drawn = [torch.from_numpy(stream.generator("uniform").uniform(-1, 1, shape)).to(image) for stream in streams]
            image = image + uniform * torch.stack(drawn)
        return image
