"""Saliency: the gradient's size at each place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.method import AttributionMethod, Maps, Summary
from dreamopt.attribution.score import ScoreFunction
from dreamopt.attribution.zeros import zero_facts


@dataclass(frozen=True)
class Saliency(AttributionMethod):
    r"""How much each place of the image can change the score: the largest absolute gradient of its channels.

    .. math:: M_{yx} = \max_c \left| \frac{\partial s}{\partial x_{cyx}} \right|

    In scores for each unit of the net's input.

    References
    ----------
    .. [1] Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", 2014, section 3.1.

    Examples
    --------
    >>> print(Saliency())
    saliency
    """

    examples: ClassVar[tuple[str, ...]] = ("saliency()",)
    signed: ClassVar[bool] = False
    summary: ClassVar[Summary] = "sum"

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the largest absolute gradient of each place's channels."""
        _, gradient = score.gradients(images)
        return Maps(gradient.abs().amax(1, keepdim=True), zero_facts(score, images, gradient))
