"""The gradient reaches a part of the image only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.draw import Length, check_length, pixels
from dreamopt.image.transform import Gradient, Transform
from dreamopt.parts.checks import Fields
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class GradientMask(Transform):
    r"""Let the objective change the middle of the image only; the net sees it all, unchanged.

    .. math:: x' = x, \qquad \partial x' / \partial x = m

    with m 1 inside and 0 in the border (not a true derivative: finite differences do not see it). What stands in the border at
    the start stays there. With an inner ``margin`` of 50 pixels it is MFV's centre bias.

    Parameters
    ----------
    margin : int or float
        Width of the border, at least 0; below 1 it is a part of the searched image's shorter side. Larger values leave a smaller
        middle.
    outside : bool
        Turn it round: only the border changes, as to continue a photograph beyond its edge.

    References
    ----------
    .. [1] Nguyen, Yosinski, Clune, "Multifaceted Feature Visualization", 2016, section 3.3.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "gradient_mask(0.15)",
        "gradient_mask(1, outside=True)",
    )
    identity: ClassVar[str] = "gradient_mask(0)"
    gradient: ClassVar[Gradient] = "rule"

    margin: Length = 50
    outside: bool = False

    def __post_init__(self) -> None:
        check_length(self, "margin")
        Fields(self).flag("outside")

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return the same images, tied to a part of themselves."""
        margin = pixels(self.margin, image, context)
        if margin == 0 and not self.outside:
            return image
        h, w = image.shape[2:]
        if margin == 0 or (2 * margin >= min(h, w) and not self.outside):
            raise UsageError(f"{self} leaves nothing of an image of {h} x {w} to change")
        inside = torch.zeros(h, w, dtype=torch.bool, device=image.device)
        inside[margin : h - margin, margin : w - margin] = True
        return torch.where(inside != self.outside, image, image.detach())
