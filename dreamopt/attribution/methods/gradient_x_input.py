"""Gradient times input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.baselines import Baseline, baseline_images, checked_baseline
from dreamopt.attribution.method import AttributionMethod, Maps, Summary
from dreamopt.attribution.score import ScoreFunction
from dreamopt.attribution.zeros import zero_facts


@dataclass(frozen=True)
class GradientXInput(AttributionMethod):
    r"""What each value adds to the score, were the score linear: the gradient times the value.

    .. math:: M = (x - x_0) \odot \frac{\partial s}{\partial x}

    x is what the net sees, after its preprocessing: values near the mean that was subtracted count little, and another preprocessing of
    the same net gives another map. Of a linear score the values add up to :math:`s(x) - s(x_0)`.

    Parameters
    ----------
    baseline : str, float or tuple
        x₀, from which values are counted: "mean" (0 of the input space: the plain product), "black", "grey", "white", "blur", a grey
        level 0-255, or (red, green, blue).

    References
    ----------
    .. [1] A. Shrikumar et al., "Not Just a Black Box", 2016.
    .. [2] M. Ancona et al., "Towards Better Understanding of Gradient-Based Attribution Methods", 2018, section 2.

    Examples
    --------
    >>> print(GradientXInput("black"))
    gradient_x_input(baseline="black")
    """

    examples: ClassVar[tuple[str, ...]] = ("gradient_x_input()", 'gradient_x_input("black")', "gradient_x_input((10, 20, 30))")
    summary: ClassVar[Summary] = "sum"

    baseline: Baseline = "mean"

    def __post_init__(self) -> None:
        object.__setattr__(self, "baseline", checked_baseline(self.baseline))

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the gradients times the images' distance from the baseline."""
        _, gradient = score.gradients(images)
        away = images - baseline_images(self.baseline, images, score.space)
        return Maps(away * gradient, zero_facts(score, images, gradient))
