"""The difference between the image and its blurred self, as a penalty."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import Number, Penalty, StepContext, at, require_at_least, require_images, soft_box


@dataclass(frozen=True)
class BlurDifference(Penalty):
    r"""Subtract half the squared difference between the image and its blur, weighted.

    .. math:: R(x_n) = \frac{\lambda}{2} \sum_{c, y, x} \bigl( x_{n, c, y, x} - b(x_n)_{c, y, x} \bigr)^2

    where the blur b is a mean over a square of ``width`` pixels whose rim counts half. b is taken as fixed, so that a
    plain step of length η down this penalty is x ← (1 - ηλ) x + ηλ b(x): a little blur at every step.

    Parameters
    ----------
    weight : float or Schedule
        λ, at least 0, in units of the objective per squared grey level. Larger values give a smoother picture.
    width : int
        Side of the square, odd, at least 3. Larger values reach coarser detail.
    follow : bool
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

    weight: Number
    width: int = 3
    follow: bool = False

    def __post_init__(self) -> None:
        require_at_least("the weight of BlurDifference", self.weight, 0)
        if self.width < 3 or self.width % 2 == 0:
            raise RegularizerError(f"the width of BlurDifference must be odd and at least 3, not {self.width}")

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return λ / 2 times each item's squared difference from its blur."""
        require_images(self, image)
        blurred = soft_box(image if self.follow else image.detach(), self.width)
        return at(self.weight, context) * 0.5 * (image - blurred).square().flatten(1).sum(1)
