"""How fast the score falls where the most relevant patches are removed first."""

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
class Deletion(CurveMetric):
    r"""The area below the curve of the score where patches are removed, most relevant first.

    .. math:: \mathrm{deletion} = \int_0^1 s(x^{\mathrm{most}}_q) \, dq

    :math:`x_q` is the image with a part q of its patches replaced by the baseline. In the score's own units: of a logit by default, of a
    probability, as in the publication, where one is explained. The area depends much on the baseline: see `Srg`.

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

    patch: int = 8
    baseline: Baseline = "mean"
    steps: int = 24

    def measure(self, subject: Subject, heat_map: NDArray[np.float64]) -> float:
        """Return the area."""
        return self.area(subject, heat_map)
