"""How far the image is from grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dreamopt.image.colour import LUMINANCE
from dreamopt.parts.checks import Range
from dreamopt.study.measure import Better, Finished, Measure
from dreamopt.study.scores import levels_of


@dataclass(frozen=True)
class Contrast(Measure):
    r"""The standard deviation of the image's luminance, in grey levels.

    .. math:: \sqrt{\operatorname{mean} (Y - \bar Y)^2}

    of the image as it was written, at its own size (Y of ITU-R 601). Photographs have 30 to 75, a grey image 0. It is no better higher or
    lower; it tells an image that is smooth (`TotalVariation`) because it is clear from one that is faint.

    References
    ----------
    .. [1] Peli, "Contrast in complex images", 1990, on RMS contrast.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> from dreamopt.study.finished import as_finished
    >>> halves = np.repeat(np.array([100, 140], np.uint8), 24)[:, None, None].repeat(48, 1).repeat(3, 2)
    >>> round(Contrast()(as_finished(load_net(), "conv2:3", halves)), 6)
    20.0
    """

    examples: ClassVar = ("contrast",)
    unit: ClassVar = "grey levels"
    better: ClassVar[Better] = "neither"
    range: ClassVar = Range(0, 128)

    def measure(self, finished: Finished) -> float | None:
        """Return the standard deviation."""
        return float(np.std(levels_of(finished) @ np.array(LUMINANCE)))
