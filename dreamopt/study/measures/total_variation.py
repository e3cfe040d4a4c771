"""How rough the image is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dreamopt.parts.checks import Range
from dreamopt.study.measure import Better, Finished, Measure
from dreamopt.study.scores import levels_of


@dataclass(frozen=True)
class TotalVariation(Measure):
    r"""The mean absolute difference of neighbouring pixels, in grey levels.

    .. math:: \frac{1}{2} \bigl( \operatorname{mean} |u_{y + 1, x, c} - u_{y, x, c}|
        + \operatorname{mean} |u_{y, x + 1, c} - u_{y, x, c}| \bigr)

    of the image u as it was written, at its own size, 0 to 255. Photographs have 10 to 20 at some 128 pixels, noise has 85, a grey image
    0. Lower is better among images that show as much; an image of nothing has the lowest. The same image has less of it at a larger size.

    References
    ----------
    .. [1] Mahendran, Vedaldi, "Understanding Deep Image Representations by Inverting Them", 2015, section 2.1.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> from dreamopt.study.finished import as_finished
    >>> columns = np.tile(np.array([0, 10], np.uint8)[:, None], (48, 24, 3))
    >>> TotalVariation()(as_finished(load_net(), "conv2:3", columns))
    5.0
    """

    examples: ClassVar = ("total_variation",)
    unit: ClassVar = "grey levels"
    better: ClassVar[Better] = "lower"
    range: ClassVar = Range(0, 255)

    def measure(self, finished: Finished) -> float | None:
        """Return the mean difference of neighbours; of a single row or column along it alone."""
        differences = [np.abs(np.diff(levels_of(finished), axis=axis)) for axis in (0, 1)]
        return float(np.mean([one.mean() if one.size else 0.0 for one in differences]))
