"""How much longer the score lasts where the least relevant patches are removed first."""

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
class Srg(CurveMetric):
    r"""The area between the curves of the score where patches are removed least relevant first and most relevant first.

    .. math:: \mathrm{SRG} = \int_0^1 s(x^{\mathrm{least}}_q) \, dq - \int_0^1 s(x^{\mathrm{most}}_q) \, dq

    :math:`x_q` is the image with a part q of its patches replaced by a baseline. What the baseline does to the score whatever is removed
    (it is no image that the net knows) is in both curves and cancels, so that methods keep their order where single curves do not: of the
    metrics that remove patches, the one to rank by. In the score's own units, logits or probabilities, since the score can be the same
    with and without all patches; 0 for a map that says nothing.

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
    .. [1] S. Bluecher et al., "Decoupling Pixel Flipping and Occlusion Strategy for Consistent XAI Benchmarks", 2024, section 3.

    Examples
    --------
    >>> print(Srg(patch=16))
    srg(patch=16)
    """

    examples: ClassVar[tuple[str, ...]] = ("srg", 'srg(patch=3, baseline="blur", steps=5)')
    better: ClassVar[Better] = "higher"

    patch: int = 8
    baseline: Baseline = "mean"
    steps: int = 24

    def measure(self, subject: Subject, heat_map: NDArray[np.float64]) -> float:
        """Return the area."""
        return self.area(subject, heat_map, least_first=True) - self.area(subject, heat_map)

    def evaluations(self) -> int:
        """Return the points of both curves."""
        return 2 * self.steps
