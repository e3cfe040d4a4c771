"""The gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.method import AttributionMethod, Maps, Summary
from dreamopt.attribution.score import ScoreFunction
from dreamopt.attribution.zeros import zero_facts


@dataclass(frozen=True)
class Gradient(AttributionMethod):
    r"""The score's gradient at the image: how much a small change of each value would change the score.

    .. math:: M = \frac{\partial s}{\partial x}

    In scores for each unit of the net's input: a grey level, where the net's scale is 1.

    References
    ----------
    .. [1] D. Baehrens et al., "How to Explain Individual Classification Decisions", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from dreamopt import attribute, load_net
    >>> attribute(load_net(), np.full((50, 70, 3), 90), "conv2:3", method="gradient").array.shape
    (96, 96, 3)
    """

    examples: ClassVar[tuple[str, ...]] = ("gradient()",)
    summary: ClassVar[Summary] = "abs_max"

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the gradients."""
        _, gradient = score.gradients(images)
        return Maps(gradient, zero_facts(score, images, gradient))
