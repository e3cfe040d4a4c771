"""The image fades away from its centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import (
    NOT_NEGATIVE,
    POSITIVE,
    Colour,
    Fields,
    Number,
    Projection,
    StepContext,
    at,
    checked_colour,
    colour_tensor,
    require_places,
)


@dataclass(frozen=True)
class CentreBias(Projection):
    r"""Pull every pixel towards a colour, the harder the farther it lies from the centre.

    .. math:: x_p \leftarrow x_p + \theta\, \bigl( 1 - e^{-r_p^2 / 2 \sigma^2} \bigr) (k - x_p)

    with r the distance from the centre, 1 in the middle of each edge. It is `Decay` with a rate that is 0 at the centre and θ
    far away: one big object in the middle grows, copies of it at the border do not. To leave the border
    untouched instead, mask the gradient (the transform `GradientMask`).

    Parameters
    ----------
    rate : float or Schedule
        θ, from 0 (nothing) to 1 (the far border is erased at every step). Larger values fade faster.
    sigma : float or Schedule
        σ, above 0, in half widths of the image. Larger values spare a larger middle; 0.5 is usual.
    colour : str, float or tuple
        k: "mean", "black", "grey", "white", a grey level 0-255, or (red, green, blue).

    References
    ----------
    .. [1] Nguyen, Yosinski, Clune, "Multifaceted Feature Visualization", 2016, section 3.3 (which masks the gradient).

    Examples
    --------
    >>> CentreBias(0.5, 0.5)(torch.full((1, 1, 1, 3), 100.0)).round()
    tensor([[[[ 71., 100.,  71.]]]])
    """

    examples: ClassVar = ("centre_bias(0.2)", 'centre_bias(Linear(0.4, 0), 0.3, "white")')

    rate: Number
    sigma: Number = 0.5
    colour: Colour = "mean"

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("rate", NOT_NEGATIVE).scheduled("sigma", POSITIVE)
        object.__setattr__(self, "colour", checked_colour(self.colour))

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the image, faded towards its border."""
        require_places(self, image)
        sides = image.shape[2:]
        squared = torch.zeros(sides, dtype=torch.float64)
        for axis, side in enumerate(sides):
            along = (2 * torch.arange(side, dtype=torch.float64) + 1) / side - 1
            squared = squared + along.reshape(-1, *(1,) * (len(sides) - 1 - axis)) ** 2
        middle = torch.exp(-squared / (2 * at(self.sigma, context) ** 2))
        fade = (at(self.rate, context) * (1 - middle)).to(image)
        return image + fade * (colour_tensor(self.colour, image, context.space) - image)
