"""Guided backpropagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.method import AttributionMethod, Maps, Summary
from dreamopt.attribution.score import ScoreFunction
from dreamopt.attribution.zeros import zero_facts


@dataclass(frozen=True)
class GuidedBackprop(AttributionMethod):
    r"""Fine detail that the unit answers to: the backward pass without all that speaks against it on its way.

    .. math:: g_x = f'(x) \max(g_y, 0)

    at every ReLU f, of any kind, alone or in place; every other layer passes its gradient on. Positive and negative values are kept:
    what is shown is the pattern, as in the paper's images, and its scale has no meaning. It shows edges of what is in the image more
    than what the class is (Adebayo 2018, Nie 2018): compare it with another class before it is believed.

    References
    ----------
    .. [1] J. Springenberg et al., "Striving for Simplicity: The All Convolutional Net", 2015, section 3.4.
    .. [2] W. Nie et al., "A Theoretical Explanation for Perplexing Behaviors of Backpropagation-based Visualizations", 2018.

    Examples
    --------
    >>> print(GuidedBackprop())
    guided_backprop
    """

    examples: ClassVar[tuple[str, ...]] = ("guided_backprop()",)
    summary: ClassVar[Summary] = "abs_max"

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return what the rule's backward pass leaves at the images."""
        _, gradient = score.gradients(images, rule="guided")
        return Maps(gradient, zero_facts(score, images, gradient, "guided"))
