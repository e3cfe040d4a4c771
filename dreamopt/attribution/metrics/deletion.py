"""How fast the score falls where the most relevant patches are removed first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dreamopt.attribution.baselines import Baseline
from dreamopt.attribution.flipping import check_curve, flipping_curve
from dreamopt.attribution.metric import AttributionMetric, Better
from dreamopt.attribution.subject import Subject
from dreamopt.parts.checks import Range


@dataclass(frozen=True)
class Deletion(AttributionMetric):
    r"""The area below the curve of the score where patches are removed, most relevant first.

    .. math:: \mathrm{deletion} = \int_0^1 c_{\mathrm{most}}(q) \, dq, \quad c(q) = \frac{s(x_q) - s(x_1)}{s(x) - s(x_1)}

    :math:`x_q` is the image with a part q of its patches replaced by the baseline. The first publication takes probabilities, which lie
    between 0 and 1 as they are; here the score is what is explained, by default a logit, in parts of what the image has above its
    baseline. The area depends much on the baseline: see `Srg`. About 1/2 for a map that says nothing, if the net were linear. None where
    the baseline's score is not below the image's.

    Parameters
    ----------
    patch : int
        Side of the square patches, in pixels; a patch's relevance is the sum of the map over it.
    baseline : Baseline
        What stands in the place of removed patches: "mean", "blur", "black", "white", "grey", a grey level or a colour.
    steps : int
        How many groups of patches are removed.

    References
    ----------
    .. [1] V. Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", 2018, section 4.2.

    Examples
    --------
    >>> print(Deletion(baseline="blur"))
    deletion(baseline="blur")
    """

    examples: ClassVar[tuple[str, ...]] = ("deletion", "deletion(patch=3, baseline=(20, 200, 90), steps=5)")
    better: ClassVar[Better] = "lower"
    range: ClassVar = Range()

    patch: int = 8
    baseline: Baseline = "mean"
    steps: int = 32

    def __post_init__(self) -> None:
        check_curve(self)

    def measure(self, subject: Subject, heat_map: NDArray[np.float64]) -> float | None:
        """Return the area."""
        curve = flipping_curve(subject, heat_map, self.patch, self.baseline, self.steps)
        return None if curve is None else curve.area

    def evaluations(self, subject: Subject) -> int:
        """Return the points of the curve."""
        return self.steps
