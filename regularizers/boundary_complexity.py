"""Detail and colour near the image's border, as a penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import (
    NOT_NEGATIVE,
    SIDE,
    Colour,
    Fields,
    Number,
    Penalty,
    StepContext,
    at,
    checked_colour,
    colour_tensor,
    require_places,
    soft_box,
)


@dataclass(frozen=True)
class BoundaryComplexity(Penalty):
    r"""Subtract how detailed and how coloured the image is near its border, weighted.

    .. math:: R(x_n) = \lambda \sum_c \sum_{(y, x) \in B} \bigl( b(x_n)_{c, y, x} - x_{n, c, y, x} \bigr)^2
              + \gamma\, (x_{n, c, y, x} - k_c)^2

    with B the pixels less than ``border`` from an edge (all of them, where the image is narrower than two borders) and b the
    mean over 5 x 5 pixels whose rim counts half. What the objective wants then moves to the middle.

    Parameters
    ----------
    weight : float or Schedule
        λ, at least 0, in units of the objective per squared grey level; Lucid's weights are for values from 0 to 1, divide them
        by 255² (5, the activation atlas', becomes 7.7e-5). Larger values give a calmer border.
    border : int
        Width in pixels, at least 1. 20 is Lucid's, 5 the atlas' for icons of 80.
    plainness : float
        γ, at least 0: how much the colour counts beside the detail.
    colour : str, float or tuple
        k: "mean", "black", "grey" (Lucid's), "white", a grey level 0-255, or (red, green, blue).

    References
    ----------
    .. [1] tensorflow/lucid, ``optvis/objectives.py``, ``penalize_boundary_complexity``.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(1, 1, 7, 9)
    >>> x[..., 3, 4] = 10
    >>> BoundaryComplexity(1.0, border=1)(x)
    tensor([0.])
    >>> BoundaryComplexity(1.0, border=4, plainness=1)(x) > 100
    tensor([True])
    """

    examples: ClassVar = ("boundary_complexity(0.3)", "boundary_complexity(0.3, 1, 0.5)", 'boundary_complexity(0.3, 2, colour="grey")')

    weight: Number
    border: int = 20
    plainness: float = 0.8
    colour: Colour = "mean"

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("weight", NOT_NEGATIVE).whole("border", SIDE).number("plainness", NOT_NEGATIVE)
        object.__setattr__(self, "colour", checked_colour(self.colour))

    @property
    def zero_at_mean(self) -> bool:
        """Only where the colour is the mean."""
        return self.colour == "mean"

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return λ times each item's detail and colour in the border."""
        require_places(self, image)
        away = image - colour_tensor(self.colour, image, context.space)
        costs = (soft_box(image, 5) - image).square() + self.plainness * away.square()
        border = torch.ones_like(costs[0, 0])
        border[(slice(self.border, -self.border),) * border.dim()] = 0
        return at(self.weight, context) * (costs * border).flatten(1).sum(1)
