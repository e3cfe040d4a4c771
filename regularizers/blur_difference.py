"""The difference between the image and its blurred self, as a penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import LARGEST_SIDE, NOT_NEGATIVE, Fields, Number, Penalty, Range, StepContext, at, require_places, soft_box


@dataclass(frozen=True)
class BlurDifference(Penalty):
    r"""Subtract half the squared difference between the image and its blur, weighted.

    .. math:: R(x_n) = \frac{\lambda}{2} \sum_{c, y, x} \bigl( x_{n, c, y, x} - b(x_n)_{c, y, x} \bigr)^2

    where the blur b is a mean over a square of ``width`` pixels whose rim counts half. b is taken as fixed, so that a
    plain step of length η down this penalty is x ← (1 - ηλ) x + ηλ b(x): a little blur at every step.

    Parameters
    ----------
    weight : float or Schedule
        λ, at least 0, in units of the objective per squared grey level. Larger values give a smoother image.
    width : int
        Side of the square, odd, at least 3. Larger values reach coarser detail.
    differentiate_blur : bool
        Follow the gradient through the blur as well: the true gradient of the formula.

    References
    ----------
    .. [1] tensorflow/lucid, ``optvis/objectives.py``, ``blur_input_each_step``.

    Examples
    --------
    >>> import torch
    >>> BlurDifference(3.0)(torch.tensor([[[[0.0, 4.0, 0.0]]]]))
    tensor([11.3333])
    """

    examples: ClassVar = (
        "blur_difference(0.3)",
        "blur_difference(0.3, differentiate_blur=True)",
        "blur_difference(Linear(1, 0), width=5)",
    )

    weight: Number
    width: int = 3
    differentiate_blur: bool = False

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("weight", NOT_NEGATIVE).whole("width", Range(3, LARGEST_SIDE)).flag("differentiate_blur")
        if self.width % 2 == 0:
            raise RegularizerError(f"width of BlurDifference must be odd, not {self.width}")

    @property
    def gradient(self) -> Literal["derivative", "rule"]:
        """A rule, unless the blur is differentiated too."""
        return "derivative" if self.differentiate_blur else "rule"

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return λ / 2 times each item's squared difference from its blur."""
        require_places(self, image)
        blurred = soft_box(image if self.differentiate_blur else image.detach(), self.width)
        return at(self.weight, context) * 0.5 * (image - blurred).square().flatten(1).sum(1)
