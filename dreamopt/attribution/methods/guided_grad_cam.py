"""Guided Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.method import AttributionMethod, Maps, Summary
from dreamopt.attribution.methods.grad_cam import GradCam
from dreamopt.attribution.score import ScoreFunction


@dataclass(frozen=True)
class GuidedGradCam(AttributionMethod):
    r"""Guided backpropagation's fine detail where Grad-CAM's coarse map says that the class is.

    .. math:: M = U\Big(\max\Big(0, \sum_k w_k A_k\Big)\Big) \odot \text{guided}(x)

    The map U is enlarged linearly, as published; Captum's default repeats each place's value instead. It is zero where Grad-CAM's is.

    Parameters
    ----------
    layer : str or tuple of str, optional
        Grad-CAM's; the name of an in-place ReLU means the value after it. By default the highest layer with a map below the objective.

    References
    ----------
    .. [1] Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017, section 3.2.

    Examples
    --------
    >>> print(GuidedGradCam())
    guided_grad_cam
    """

    examples: ClassVar[tuple[str, ...]] = ("guided_grad_cam()", 'guided_grad_cam(layer="sum")')
    summary: ClassVar[Summary] = "abs_max"

    layer: str | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", GradCam(self.layer).layer)

    def evaluations(self) -> int | None:
        """Return one pass for guided backpropagation, and those of Grad-CAM."""
        count = GradCam(self.layer).evaluations()
        return None if count is None else 1 + count

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the product of both."""
        coarse = GradCam(self.layer).attribute(score, images)
        return Maps(coarse.values * score.gradients(images, rule="guided")[1], coarse.facts)
