"""Integrated gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.attribution.baselines import Baselines, baseline_images, checked_baselines, each_baseline
from dreamopt.attribution.copies import batches_of_copies, by_image
from dreamopt.attribution.integration import RULES, STEPS, completeness, nodes
from dreamopt.attribution.method import AttributionMethod, Maps, Summary
from dreamopt.attribution.score import ScoreFunction
from dreamopt.parts.checks import Fields


@dataclass(frozen=True)
class IntegratedGradients(AttributionMethod):
    r"""What each value adds to the score on the straight way from a baseline to the image.

    .. math:: M = (x - x_0) \odot \int_0^1 \frac{\partial s}{\partial x}\big(x_0 + \alpha (x - x_0)\big) \, d\alpha

    The values add up to :math:`s(x) - s(x_0)`, but for the error of the integral: ``facts`` say by what part of that difference they
    miss it (``completeness_error``), and that the steps are too few where it is above 5 %, as its authors advise. Values that are equal
    to the baseline's count nothing: with a black baseline black things do not show. Several baselines are averaged.

    Captum takes 50 nodes of Gauss and Legendre, which is the default here; the paper and zennit the right ends of 20 to 300 even steps;
    utkuozbulak's pytorch-cnn-visualizations leaves the factor :math:`x - x_0` out, so that its values add up to nothing in particular.

    Parameters
    ----------
    steps : int
        How many gradients the integral is made of, for each baseline; at most 2000.
    baseline : str, float or tuple
        x₀: "mean" (0 of the input space), "black", "grey", "white", "blur" (the image, strongly blurred), a grey level 0-255, or (red,
        green, blue); or several of these, as ``("black", "white")``.
    rule : str
        Where on the way: "gauss_legendre", or in even steps "middle", "left" or "right".

    References
    ----------
    .. [1] M. Sundararajan, A. Taly, Q. Yan, "Axiomatic Attribution for Deep Networks", 2017.
    .. [2] P. Sturmfels, S. Lundberg, S.-I. Lee, "Visualizing the Impact of Feature Attribution Baselines", Distill 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from dreamopt import attribute, load_net
    >>> image = np.linspace(0, 255, 3 * 96 * 96).reshape(96, 96, 3)
    >>> found = attribute(load_net(), image, "conv2:3", method="integrated_gradients(steps=30)")
    >>> found.facts["completeness_error"] < 0.05
    True
    """

    examples: ClassVar[tuple[str, ...]] = (
        "integrated_gradients()",
        'integrated_gradients(steps=4, baseline=("black", "blur"), rule="right")',
    )
    summary: ClassVar[Summary] = "sum"

    steps: int = 50
    baseline: Baselines = "mean"
    rule: str = "gauss_legendre"

    def __post_init__(self) -> None:
        Fields(self).whole("steps", STEPS).choice("rule", RULES)
        object.__setattr__(self, "baseline", checked_baselines(self.baseline))

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the integrals, averaged over the baselines, and whether they add up."""
        maps, at_start = torch.zeros_like(images), torch.zeros(len(images), dtype=images.dtype, device=images.device)
        baselines = each_baseline(self.baseline)
        for baseline in baselines:
            start = baseline_images(baseline, images, score.space)
            maps += (images - start) * self._mean_gradient(score, start, images) / len(baselines)
            at_start += score.values(start)[:, 0] / len(baselines)
        difference = score.values(images)[:, 0] - at_start
        return Maps(maps, completeness(maps, difference, f"steps={self.steps} are too few"))

    def _mean_gradient(self, score: ScoreFunction, start: Tensor, images: Tensor) -> Tensor:
        places, weights = nodes(self.rule, self.steps)
        total = torch.zeros_like(images)
        for numbers, batch in batches_of_copies(score, images, self.steps, lambda k: torch.lerp(start, images, places[k])):
            _, gradients = score.gradients(batch, len(numbers))
            for k, gradient in zip(numbers, by_image(gradients, len(numbers)), strict=True):
                total += weights[k] * gradient
        return total

    def evaluations(self) -> int:
        """Return the steps, and one for the score of each baseline and of the image."""
        return len(each_baseline(self.baseline)) * (self.steps + 1) + 1
