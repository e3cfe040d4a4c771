"""A window whose place is drawn about the image space's middle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.image.draw import Side, check_size, target_size
from dreamopt.image.per_sample import samples_of, stacked
from dreamopt.image.transform import Transform
from dreamopt.parts.checks import FRACTION, NOT_NEGATIVE, Fields
from dreamopt.parts.schedule import Number, StepContext, at
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class NormalCrop(Transform):
    r"""Show the net a window of its own size out of a larger canvas, mostly from the middle.

    .. math:: s \sim \min(\max(N(f\, d, \sigma d), 0), d), \qquad d = \text{canvas} - \text{window}

    rounded down, for each axis; what lies outside the window has no gradient at this step. Inside, a gradient of 0 comes back as 1e-30,
    so that steps and regularizers that change the window (``ascent(norm="window")``, `Window`) find all of it, also where the target
    sees but a part.

    Parameters
    ----------
    height, width : int or "net", optional
        The window, at least 1; a square without ``width``; by default the size in the net's file. A side longer than the image space is
        the image space's.
    spread : float or Schedule
        σ, at least 0: 0.3 in deepdraw and MFV, 0.1 in MFV's last stages. Larger values visit the border more often.
    down, right : float or Schedule
        f for each axis, 0 to 1: where the middle of the visits lies.

    References
    ----------
    .. [1] Øygard, "Visualizing GoogLeNet Classes", 2015 (auduno/deepdraw, ``deepdraw.ipynb``).
    .. [2] Nguyen, Yosinski, Clune, "Multifaceted Feature Visualization", 2016.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "normal_crop(3)",
        "normal_crop(3, 4, Linear(0.3, 0.1), 0.2, 0.9)",
    )
    random: ClassVar[bool] = True
    identity: ClassVar[str] = "normal_crop(50)"

    height: Side = "net"
    width: int | None = None
    spread: Number = 0.3
    down: Number = 0.5
    right: Number = 0.5

    def __post_init__(self) -> None:
        check_size(self)
        Fields(self).scheduled("spread", NOT_NEGATIVE).scheduled("down", FRACTION).scheduled("right", FRACTION)

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return each item's own window."""
        asked = target_size(self.height, self.width, image, context)
        sides = [min(wanted, side) for wanted, side in zip(asked, image.shape[2:], strict=True)]
        places, cropped = (at(self.down, context), at(self.right, context)), []
        for one, stream in zip(samples_of(image), streams, strict=True):
            normal, start = stream.generator("normal_crop").standard_normal(2), []
            for k in range(2):
                spare = one.shape[k + 1] - sides[k]
                start.append(int(min(max(places[k] * spare + at(self.spread, context) * spare * float(normal[k]), 0.0), float(spare))))
            cropped.append(one[:, start[0] : start[0] + sides[0], start[1] : start[1] + sides[1]])
        shown = stacked(cropped)
        if shown.requires_grad:
            shown.register_hook(_traced)  # type: ignore[no-untyped-call]  # torch does not say
        return shown


def _traced(gradient: Tensor | None) -> Tensor | None:
    """Return the gradient with its zeros made visible, in items that have any gradient: a dead item stays dead."""
    if gradient is None:
        return None
    alive = (gradient != 0).flatten(1).any(1).reshape(-1, *[1] * (gradient.dim() - 1))
    return torch.where(alive & (gradient == 0), 1e-30, gradient)
