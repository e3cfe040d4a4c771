"""SmoothGrad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.method import Maps
from dreamopt.attribution.noisy import OfNoisyImages
from dreamopt.attribution.score import ScoreFunction


@dataclass(frozen=True)
class Smoothgrad(OfNoisyImages):
    r"""The mean of another method's maps over noisy versions of the image: less noise in the map by noise in the image.

    .. math::

        M = \frac{1}{n} \sum_{i=1}^{n} M_\mathit{of}(x + \varepsilon_i), \qquad \varepsilon_i \sim \mathcal{N}(0, \sigma^2), \quad
        \sigma = \mathit{noise} \cdot (\max x - \min x)

    over all values of the image in the net's input space; each image has its own σ. Noise of 10 to 20 % is what the paper advises.

    The libraries differ: Captum's NoiseTunnel takes 5 samples and σ = 1 whatever the range is; Xplique's noise is 0.2 in the input's
    own units; tf-keras-vis takes 0.2 of the range; zennit 0.1 of the range and 20 samples; utkuozbulak's pytorch-cnn-visualizations
    divides by the range where the paper multiplies, and takes σ² for σ.

    Parameters
    ----------
    of : AttributionMethod or str
        The other method, as ``saliency`` or ``"integrated_gradients(steps=20)"``. Of saliency absolute values are averaged, of the
        gradient values with their sign.
    samples : int
        n; more than 50 change little.
    noise : float
        σ as a part of the image's own range.

    References
    ----------
    .. [1] D. Smilkov et al., "SmoothGrad: Removing Noise by Adding Noise", 2017.

    Examples
    --------
    >>> print(Smoothgrad("saliency", samples=50))
    smoothgrad(of=saliency, samples=50)
    """

    examples: ClassVar[tuple[str, ...]] = (
        "smoothgrad()",
        "smoothgrad(saliency, samples=3, noise=0.1)",
        'smoothgrad("guided_backprop", samples=2)',
        "smoothgrad(of=smoothgrad(integrated_gradients(steps=2), samples=2), samples=2)",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "signed", self.method.signed)
        object.__setattr__(self, "summary", self.method.summary)

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the mean maps, and the facts that hold of all noisy versions."""
        moments, facts = self.maps_of_noisy_images(score, images)
        return Maps(moments.mean, facts.facts())
