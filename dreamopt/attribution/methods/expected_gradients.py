"""Expected gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.attribution.backgrounds import Backgrounds, background_images
from dreamopt.attribution.copies import COPIES, batches_of_copies, by_image
from dreamopt.attribution.integration import completeness
from dreamopt.attribution.method import AttributionMethod, Maps, Summary
from dreamopt.attribution.score import ScoreFunction
from dreamopt.errors import UsageError
from dreamopt.parts.checks import Fields, several, shown
from dreamopt.parts.part import INPUT_FILE


@dataclass(frozen=True)
class ExpectedGradients(AttributionMethod):
    r"""Integrated gradients, averaged over many images as baselines: no single colour stands for "nothing is there".

    .. math:: M = \mathbb{E}_{x_0, \alpha} \Big[ (x - x_0) \odot \frac{\partial s}{\partial x}\big(x_0 + \alpha (x - x_0)\big) \Big],
        \qquad \alpha \sim U(0, 1)

    with x₀ drawn from background images. The values add up to :math:`s(x) - \mathbb{E}\, s(x_0)`, as far as the samples allow:
    ``facts`` say by what part of it they miss it, and which backgrounds were taken.

    The authors draw x₀ from the images that the net was trained on, and so should you. By default it is the photographs that come with
    scikit-image, which are few: the map then says what sets this image apart from those. SHAP's ``GradientExplainer`` draws x₀ and α
    one by one, 200 times; here the backgrounds take turns in a drawn order, and α is drawn from even parts of its range, one after
    the other, which has the same expectation and less noise.

    Parameters
    ----------
    backgrounds : str or tuple of str, optional
        Images, folders or patterns of them, or ``.npy`` files of arrays in the net's input space, (C, H, W) or (B, C, H, W); of more
        than there are samples, so many are drawn. By default the photographs of scikit-image; for an input that is no image, zeros.
    samples : int
        How many gradients, 1 to 1,000,000.

    References
    ----------
    .. [1] G. Erion et al., "Improving Performance of Deep Learning Models with Axiomatic Attribution Priors and Expected Gradients", 2021.
    .. [2] shap/shap, ``GradientExplainer``.

    Examples
    --------
    >>> print(ExpectedGradients("photos/*.jpg", samples=500))
    expected_gradients(backgrounds="photos/*.jpg", samples=500)
    """

    examples: ClassVar[tuple[str, ...]] = ("expected_gradients({image}, samples=7)", "expected_gradients(samples=2)")
    summary: ClassVar[Summary] = "sum"

    backgrounds: Backgrounds = field(default=None, metadata=INPUT_FILE)
    samples: int = 200

    def __post_init__(self) -> None:
        Fields(self).whole("samples", COPIES)
        paths = several(self.backgrounds)
        if self.backgrounds is not None and not all(isinstance(path, str) and path for path in paths or [self.backgrounds]):
            raise UsageError(f"backgrounds of ExpectedGradients must be paths of images or .npy files, not {shown(self.backgrounds)}")
        if paths is not None:
            object.__setattr__(self, "backgrounds", paths or None)

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the mean over the samples, whether it adds up, and which backgrounds it is made of."""
        stream, samples = score.stream, self.samples
        backgrounds, what = background_images(self.backgrounds, score.space, samples, stream)
        order = stream.generator("order").permutation(len(backgrounds)).tolist()
        parts = stream.uniform("alpha", 0, 1, samples)

        def start(k: int) -> Tensor:
            return backgrounds[order[k % len(order)]]

        def between(k: int) -> Tensor:
            return torch.lerp(start(k).expand_as(images), images, (k + parts[k]) / samples)

        maps = torch.zeros_like(images)
        for numbers, batch in batches_of_copies(score, images, samples, between):
            _, gradients = score.gradients(batch, len(numbers))
            for k, gradient in zip(numbers, by_image(gradients, len(numbers)), strict=True):
                maps += (images - start(k)) * gradient / samples
        at_backgrounds = torch.zeros(len(images), dtype=images.dtype, device=images.device)
        for numbers, batch in batches_of_copies(score, images, len(order), lambda k: start(k).expand_as(images)):
            for k, values in zip(numbers, score.values(batch, len(numbers)).unbind(1), strict=True):
                at_backgrounds += values * len(range(k, samples, len(order))) / samples
        difference = score.values(images)[:, 0] - at_backgrounds
        facts = completeness(maps, difference, f"samples={samples} are too few")
        return Maps(maps, {**facts, "backgrounds": [what] * len(images)})

    def evaluations(self) -> int | None:
        """Return None: how many backgrounds there are is known once they are read."""
        return None
