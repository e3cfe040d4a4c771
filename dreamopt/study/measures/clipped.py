"""How much of the image is saturated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dreamopt.parts.checks import PERCENT
from dreamopt.study.measure import Better, Finished, Measure
from dreamopt.study.scores import levels_of


@dataclass(frozen=True)
class Clipped(Measure):
    r"""The part of the image's values that are 0 or 255, in percent.

    .. math:: \frac{100}{3 H W} \sum_{y, x, c} [\, u_{y, x, c} \in \{0, 255\} \,]

    of the image u as it was written, at its own size. There the range ended what the optimization wanted; much of it looks burnt out.
    Photographs mostly have less than 5.

    References
    ----------
    .. [1] Nguyen, Yosinski, Clune, "Multifaceted Feature Visualization", 2016, on extreme pixel values.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> from dreamopt.study.finished import as_finished
    >>> white = np.full((48, 48, 3), 128, np.uint8)
    >>> white[:12] = 255
    >>> Clipped()(as_finished(load_net(), "conv2:3", white))
    25.0
    """

    examples: ClassVar = ("clipped",)
    unit: ClassVar = "%"
    better: ClassVar[Better] = "lower"
    range: ClassVar = PERCENT

    def measure(self, finished: Finished) -> float | None:
        """Return the percentage."""
        levels = levels_of(finished)
        return 100 * float(np.mean((levels <= 0) | (levels >= 255)))
