"""The distance of the image's mean colour from a given one, as a penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import (
    NOT_NEGATIVE,
    Colour,
    Fields,
    Number,
    Penalty,
    StepContext,
    at,
    checked_colour,
    colour_tensor,
    require_places,
)


@dataclass(frozen=True)
class MeanColour(Penalty):
    r"""Subtract the squared distance of the image's mean colour from a given colour, weighted.

    .. math:: R(x_n) = \lambda \sum_c \Bigl( \frac{1}{HW} \sum_{y, x} x_{n, c, y, x} - k_c \Bigr)^2

    It takes away a colour cast and leaves contrast, edges and texture alone. With ``pixelwise`` it is a prior on every
    pixel, `L2` about the colour k and divided by H W:

    .. math:: R(x_n) = \frac{\lambda}{HW} \sum_{c, y, x} (x_{n, c, y, x} - k_c)^2

    Parameters
    ----------
    weight : float or Schedule
        λ, at least 0, in units of the objective per squared grey level. Larger values pull harder towards the colour.
    colour : str, float or tuple
        k: "mean" (what the net subtracts), "black", "grey", "white", a grey level 0-255, or (red, green, blue).
    pixelwise : bool
        Hold every pixel to the colour, not their mean alone.

    Examples
    --------
    >>> import torch
    >>> MeanColour(0.5)(torch.tensor([[[[1.0, 5.0]]]]))
    tensor([4.5000])
    """

    examples: ClassVar = (
        "mean_colour(0.3)",
        "mean_colour(0.3, pixelwise=True)",
        'mean_colour(0.3, colour="grey")',
        "mean_colour(0.3, 17.5)",
    )

    weight: Number
    colour: Colour = "mean"
    pixelwise: bool = False

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("weight", NOT_NEGATIVE).flag("pixelwise")
        object.__setattr__(self, "colour", checked_colour(self.colour))

    @property
    def zero_at_mean(self) -> bool:
        """Only where the colour is the mean."""
        return self.colour == "mean"

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return λ times each item's squared distance from the colour."""
        require_places(self, image)
        away = image - colour_tensor(self.colour, image, context.space)
        places = tuple(range(2, image.dim()))
        squares = away.square().mean(places) if self.pixelwise else away.mean(places).square()
        return at(self.weight, context) * squares.sum(1)
