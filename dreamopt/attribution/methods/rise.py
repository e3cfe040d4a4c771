"""RISE: randomized input sampling."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from dreamopt.attribution.baselines import Baseline, baseline_images, checked_baseline
from dreamopt.attribution.cam import upsampled
from dreamopt.attribution.copies import COPIES
from dreamopt.attribution.masking import Masked, sides_of
from dreamopt.attribution.method import AttributionMethod, Maps
from dreamopt.attribution.score import ScoreFunction
from dreamopt.parts.checks import SIDE, Fields, Range

_LIKELY = Range(0, 1, above=True, below=True)


@dataclass(frozen=True)
class Rise(AttributionMethod):
    r"""How much higher the score is on average with a place visible, where random halves of the image are hidden.

    .. math:: M_p = \frac{1}{n P} \sum_{i=1}^{n} \big(s(x \odot m_i) - \bar s\big) m_{ip}

    with masks :math:`m_i` from 0 to 1 whose mean is P: a grid of cells, each visible with probability P, enlarged linearly and shifted
    at random. The published map is this plus the mean score :math:`\bar s` of all copies, the same at every place: without it the
    numbers have their zero where the place does not matter, and less of the masks' chance in them. In scores. The masks are the same for
    every image. It knows the net from its scores alone.

    Of an input that is no image the grid has a cell along each axis but the first; of a vector, each value is hidden or not by itself.

    Parameters
    ----------
    masks : int
        n, 1 to 1,000,000: the image passes through the net so often. The paper takes 4,000 to 8,000; the noise falls with the root.
    cells : int
        Along each side of the grid, at least 1.
    p : float
        Above 0 and below 1: the probability that a cell is visible.
    baseline : str, float or tuple
        What stands where nothing is visible: "mean" (0 of the net's input space, as published), "black", "grey", "white", "blur", a grey
        level, or (red, green, blue).

    References
    ----------
    .. [1] Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", 2018.

    Examples
    --------
    >>> print(Rise(masks=500))
    rise(masks=500)
    """

    examples: ClassVar[tuple[str, ...]] = ("rise(masks=23)", "rise(masks=7, cells=3, p=0.3)", 'rise(masks=5, baseline="black")')

    masks: int = 2000
    cells: int = 7
    p: float = 0.5
    baseline: Baseline = "mean"

    def __post_init__(self) -> None:
        Fields(self).whole("masks", COPIES).whole("cells", SIDE).number("p", _LIKELY)
        object.__setattr__(self, "baseline", checked_baseline(self.baseline))

    def evaluations(self) -> int | None:
        """Return the number of masks."""
        return self.masks

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the mean score with each place visible, less the mean score."""
        axes = sides_of(images)
        cells = axes if images.dim() == 2 else tuple(min(self.cells, side) for side in axes)
        grids = score.stream.generator("rise").random((self.masks, *cells), np.float32) < self.p
        steps = [ceil(side / count) for side, count in zip(axes, cells, strict=True)]
        draw = score.stream.generator("rise shift")
        shifts = np.stack([draw.integers(0, step, self.masks) for step in steps], 1)

        def visible(part: range) -> Tensor:
            grid = torch.from_numpy(grids[part.start : part.stop]).to(images)
            if images.dim() == 2:
                return grid
            large = upsampled(grid[:, None], [(count + 1) * step for count, step in zip(cells, steps, strict=True)])[:, 0]
            return torch.stack(
                [
                    one[tuple(slice(first, first + side) for first, side in zip(corner, axes, strict=True))]
                    for one, corner in zip(large, shifts[part.start : part.stop].tolist(), strict=True)
                ]
            )

        masked = Masked(score, images, baseline_images(self.baseline, images, score.space), self.masks, visible)
        mean = masked.scores.mean(1).view(-1, *(1 for _ in axes))
        return Maps(masked.maps((masked.weighted - mean * masked.total) / (self.masks * self.p), images))
