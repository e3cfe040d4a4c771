"""How much of the image is saturated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dreamopt.parts.checks import PERCENT, Fields, Range
from dreamopt.study.measure import Better, Finished, Measure
from dreamopt.study.scores import levels_of


@dataclass(frozen=True)
class Clipped(Measure):
    r"""The part of the image's values that are black or white, or next to it, in percent.

    .. math:: \frac{100}{3 H W} \sum_{y, x, c} [\, u_{y, x, c} \le \delta \ \text{or}\ u_{y, x, c} \ge 255 - \delta \,]

    of the image u as it was written, at its own size. There the range ended what the optimization wanted; much of it looks burnt out. The
    margin δ is there for parametrizations that bend values towards the ends of the range and never reach them, so that they have none of
    0 or 255 however burnt they look. Most photographs have up to 5, evenly distributed levels 4.7.

    Parameters
    ----------
    margin : int
        δ in grey levels, 0 to 127; 0 counts exact black and white alone.

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

    examples: ClassVar = ("clipped", "clipped(margin=0)")
    unit: ClassVar = "%"
    better: ClassVar[Better] = "lower"
    range: ClassVar = PERCENT

    margin: int = 5

    def __post_init__(self) -> None:
        Fields(self).whole("margin", Range(0, 127))

    def measure(self, finished: Finished) -> float | None:
        """Return the percentage."""
        levels = levels_of(finished)
        return 100 * float(np.mean((levels <= self.margin) | (levels >= 255 - self.margin)))
