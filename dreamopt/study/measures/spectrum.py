"""How far the image's mixture of coarse and fine is from that of photographs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dreamopt.image.spectrum import magnitudes
from dreamopt.parts.checks import NOT_NEGATIVE
from dreamopt.study.measure import Better, Finished, Measure
from dreamopt.study.scores import levels_of

RINGS = 16
_SMALLEST = 8
"""Pixels of the shorter side: below it there are hardly two rings."""


@dataclass(frozen=True)
class Spectrum(Measure):
    r"""The distance of the logarithms of the strengths of frequencies from those of photographs, whatever the contrast.

    .. math:: \sqrt{\operatorname{mean}_r (d_r - \bar d)^2}, \qquad d_r = \log \operatorname{mean}_{f \in r} |\mathcal{F}(h u)_f|
        - \log \operatorname{mean}_{f \in r} m_f

    over 16 rings r of frequencies, equally far apart in their logarithm, from 2 cycles over the shorter side to half a cycle a pixel. u
    is the grey image (the mean of the colours, less its own mean) as it was written, at its own size, h a Hann window, and m the
    strengths in the photographs that come with scikit-image (`dreamopt.image.spectrum.magnitudes`), brought to that size. 0 has their
    mixture of coarse and fine, 1 is a factor of e on average; single photographs have 0.1 to 0.3, white noise 1 to 1.6, more at larger
    sizes. Grain and blurring both raise it.

    None for images of less than 8 pixels a side.

    References
    ----------
    .. [1] Field, "Relations between the statistics of natural images and the response properties of cortical cells", 1987.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> from dreamopt.image.spectrum import image_files
    >>> from dreamopt.image.files import covering, read_image
    >>> from dreamopt.study.finished import as_finished
    >>> photograph = covering(read_image(image_files(None)[0]), (64, 64))
    >>> noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    >>> [Spectrum()(as_finished(load_net(), "conv2:3", image)) < 0.5 for image in (photograph, noise)]
    [True, False]
    """

    examples: ClassVar = ("spectrum",)
    better: ClassVar[Better] = "lower"
    range: ClassVar = NOT_NEGATIVE

    def measure(self, finished: Finished) -> float | None:
        """Return the distance."""
        grey = levels_of(finished).mean(2)
        if min(grey.shape) < _SMALLEST:
            return None
        window = np.outer(*(np.hanning(side + 2)[1:-1] for side in grey.shape))
        strengths = np.abs(np.fft.rfft2((grey - grey.mean()) * window))
        natural = magnitudes(None, 1, (grey.shape[0], grey.shape[1]), None)[0].numpy()
        return distance(strengths, natural, (grey.shape[0], grey.shape[1]))


def distance(strengths: NDArray[np.float64], natural: NDArray[np.float64], size: tuple[int, int]) -> float:
    """Return how far the logarithms of two sets of strengths, (H, W // 2 + 1), are from each other, up to a factor.

    >>> strengths = np.random.default_rng(0).uniform(1, 2, (24, 13))
    >>> round(distance(strengths, strengths, (24, 24)), 6), round(distance(3 * strengths, strengths, (24, 24)), 6)
    (0.0, 0.0)
    """
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))
    rings = [(frequency >= low) & (frequency < high) for low, high in pairwise(np.geomspace(2 / min(size), 0.5, RINGS + 1))]
    # A millionth of a grey level stands for a strength of 0, in an image of one colour.
    gaps = np.array([np.log(strengths[ring].mean() + 1e-6) - np.log(natural[ring].mean()) for ring in rings if ring.any()])
    return float(np.sqrt(np.mean((gaps - gaps.mean()) ** 2)))
