"""VarGrad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.method import Maps, Summary
from dreamopt.attribution.noisy import OfNoisyImages
from dreamopt.attribution.score import ScoreFunction
from dreamopt.parts.checks import Fields, Range


@dataclass(frozen=True)
class Vargrad(OfNoisyImages):
    r"""How much another method's map changes under noise in the image: the variance over noisy versions.

    .. math::

        M = \frac{1}{n} \sum_{i=1}^{n} \big(M_\mathit{of}(x + \varepsilon_i) - \bar{M}\big)^2, \qquad \varepsilon_i \sim
        \mathcal{N}(0, \sigma^2), \quad \sigma = \mathit{noise} \cdot (\max x - \min x)

    with the noise of `Smoothgrad`. It does not depend on the gradient itself, but on how fast the gradient changes: of a linear score
    it is 0. Captum divides by n, too.

    Parameters
    ----------
    of : AttributionMethod or str
        The other method.
    samples : int
        n, at least 2.
    noise : float
        σ as a part of the image's own range.

    References
    ----------
    .. [1] J. Adebayo et al., "Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter Values", 2018.
    .. [2] S. Hooker et al., "A Benchmark for Interpretability Methods in Deep Neural Networks", 2019.

    Examples
    --------
    >>> print(Vargrad(noise=0.1))
    vargrad(noise=0.1)
    """

    examples: ClassVar[tuple[str, ...]] = ("vargrad()", "vargrad(saliency, samples=3, noise=0.1)")
    signed: ClassVar[bool] = False
    summary: ClassVar[Summary] = "sum"

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self).whole("samples", Range(low=2))

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the variance of the maps, and the facts that hold of all noisy versions."""
        moments, facts = self.maps_of_noisy_images(score, images)
        return Maps(moments.variance, facts.facts())
