"""How much the score loses where pixels are removed, and what is missing is filled in from around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from dreamopt.attribution.imputation import imputed
from dreamopt.attribution.metric import AttributionMetric, Better
from dreamopt.attribution.subject import Subject
from dreamopt.errors import UsageError
from dreamopt.parts.checks import NOT_NEGATIVE, Fields, Range


@dataclass(frozen=True)
class Road(AttributionMetric):
    r"""Half the difference of the score without the least relevant pixels and without the most relevant ones, which are filled in.

    .. math:: \mathrm{ROAD} = \frac{1}{|P|} \sum_{p \in P}
        \frac{s(\hat x^{\,\mathrm{least}}_p) - s(\hat x^{\,\mathrm{most}}_p)}{2}

    Of the image, p percent of the pixels are removed, and imputed by noisy linear imputation: each is the weighted mean of its eight
    neighbours, 1/6 for those beside it, 1/12 for those at its corners, plus a little noise. So neither a baseline's colour nor the shape of
    what was removed tells the net what was there. In the score's own units; 0 for a map that says nothing.

    Parameters
    ----------
    percents : tuple of float
        How many pixels are removed, in percent.
    noise : float
        Standard deviation of the noise, as a part of the range from black to white.

    References
    ----------
    .. [1] Y. Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", 2022, section 4. Both orders in one
       number: J. Gildenblat's pytorch-grad-cam, `ROADCombined`.

    Examples
    --------
    >>> print(Road(percents=(20, 50, 80)))
    road(percents=(20, 50, 80))
    """

    examples: ClassVar[tuple[str, ...]] = ("road", "road(percents=(30, 70), noise=0.02)")
    unit: ClassVar[str] = "scores"
    better: ClassVar[Better] = "higher"
    range: ClassVar = Range()

    percents: tuple[float, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 90)
    noise: float = 0.01

    def __post_init__(self) -> None:
        Fields(self).numbers("percents", Range(0, 100, above=True, below=True)).number("noise", NOT_NEGATIVE)
        if len(set(self.percents)) != len(self.percents):
            raise UsageError(f"percents of Road must be different numbers, not {self.percents}")

    def measure(self, subject: Subject, heat_map: NDArray[np.float64]) -> float | None:
        """Return half the mean difference."""
        order = subject.order(heat_map.ravel())
        image = subject.image[0].double().cpu().numpy()
        space = subject.score.space
        scale = self.noise * (255 * space.grey_level if space.low is not None else float(np.ptp(image)))
        noise = scale * subject.score.stream.generator("imputation").standard_normal(image.shape)
        filled = []
        for pixels in (order, order[::-1]):
            for percent in self.percents:
                removed = np.zeros(heat_map.shape, np.bool_)
                removed.flat[pixels[: min(max(round(percent / 100 * len(order)), 1), len(order) - 1)]] = True
                filled.append(imputed(image, removed) + noise * removed)
        images = torch.from_numpy(np.stack(filled)).to(subject.image)
        most, least = subject.values(images).reshape(2, -1)
        return float((least - most).mean() / 2)

    def evaluations(self) -> int:
        """Return the images that are filled in."""
        return 2 * len(self.percents)
