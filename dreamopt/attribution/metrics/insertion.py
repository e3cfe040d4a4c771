"""How fast the score rises where the most relevant patches are put into a blurred image first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dreamopt.attribution.baselines import Baseline
from dreamopt.attribution.flipping import CurveMetric
from dreamopt.attribution.metric import Better
from dreamopt.attribution.subject import Subject


@dataclass(frozen=True)
class Insertion(CurveMetric):
    r"""The area below the curve of the score where the image's patches are put into its baseline, most relevant first.

    .. math:: \mathrm{insertion} = \int_0^1 s(\tilde x_q) \, dq

    :math:`\tilde x_q` is the baseline, by default the blurred image as in the publication, with a part q of the image's patches in it.
    In the score's own units: of a logit by default, of a probability, as in the publication, where one is explained.

    Parameters
    ----------
    patch : int
        Side of the square patches, in pixels; a patch's relevance is the sum of the map over it.
    baseline : Baseline
        What stands in the place of patches that are not there yet: "blur", "mean", "black", "white", "grey", a grey level or a colour.
    steps : int
        How many groups of patches are put in.

    References
    ----------
    .. [1] V. Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", 2018, section 4.2.

    Examples
    --------
    >>> print(Insertion(patch=16))
    insertion(patch=16)
    """

    examples: ClassVar[tuple[str, ...]] = ("insertion", 'insertion(patch=3, baseline="mean", steps=5)')
    better: ClassVar[Better] = "higher"

    patch: int = 8
    baseline: Baseline = "blur"
    steps: int = 24

    def measure(self, subject: Subject, heat_map: NDArray[np.float64]) -> float:
        """Return the area."""
        return self.area(subject, heat_map, least_first=True)  # least relevant out first is, read backwards, most relevant in first
