"""The image stays in a ball around the start or the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import (
    NOT_NEGATIVE,
    Colour,
    Fields,
    Number,
    Projection,
    StepContext,
    at,
    checked_colour,
    colour_tensor,
    grey_level,
)


@dataclass(frozen=True)
class NormBall(Projection):
    r"""Bring the image back into a ball.

    .. math:: x \leftarrow k + (x - k) \min\bigl(1, r / \|x - k\|_2\bigr) \qquad \text{or, for } L_\infty, \qquad
              x \leftarrow k + \min(\max(x - k, -r), r)

    the nearest point of the ball, for each item. Around the start it shows what a change too small to see can do (an adversarial
    image); around the mean it fixes how much contrast the objective may spend.

    Parameters
    ----------
    radius : float or Schedule
        r, at least 0, in grey levels. Larger values allow more change.
    norm : str
        "l2": the length of the whole difference; "rms": the same per value, \|x - k\|_2 / √(C H W), so that one radius fits every
        size; "linf": the largest difference of any value.
    centre : str, float or tuple
        k: "start" (the image before the first step), or a colour: "mean", "black", "grey", "white", a grey level, or (red, green, blue).

    References
    ----------
    .. [1] tensorflow/lucid, ``optvis/param/unit_balls.py``.
    .. [2] Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples", 2015.

    Examples
    --------
    >>> x = torch.tensor([[[[3.0, -4.0]]]])
    >>> NormBall(1, centre="mean")(x), NormBall(3.5, "linf", "mean")(x)
    (tensor([[[[ 0.6000, -0.8000]]]]), tensor([[[[ 3.0000, -3.5000]]]]))
    """

    examples: ClassVar = (
        "norm_ball(9)",
        'norm_ball(Linear(2, 9), "linf")',
        'norm_ball(5, "rms", "mean")',
        'norm_ball(3, "linf", "grey")',
    )

    radius: Number
    norm: str = "l2"
    centre: Colour = "start"

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("radius", NOT_NEGATIVE).choice("norm", ("l2", "rms", "linf"))
        if not isinstance(self.centre, str) or self.centre != "start":
            object.__setattr__(self, "centre", checked_colour(self.centre))

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the nearest image inside the ball."""
        radius = at(self.radius, context) * grey_level(context)
        centre = self._centre(image, context)
        away = image - centre
        if self.norm == "linf":
            inside, near = away.abs() <= radius, away.clamp(-radius, radius)
        else:
            length = torch.stack([one.square().sum().sqrt() for one in away]).reshape(-1, *[1] * (image.dim() - 1))
            longest = radius * (away[0].numel() ** 0.5 if self.norm == "rms" else 1.0)
            inside, near = (length <= longest).expand_as(away), away * (longest / length.clamp(min=torch.finfo(image.dtype).tiny))
        # What is inside already stays to the last bit, which k + (x - k) would not.
        return torch.where(inside, image, centre + near)

    def _centre(self, image: Tensor, context: StepContext) -> Tensor:
        if self.centre != "start":
            return colour_tensor(self.centre, image, context.space) if image.dim() == 4 else torch.zeros_like(image[:1])
        if context.start is None or context.start.shape != image.shape:
            raise RegularizerError(f"{self} needs the image that the run started from, which only `dreamopt.optimize.run` gives")
        return context.start
