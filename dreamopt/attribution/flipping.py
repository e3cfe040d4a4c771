"""Curves of a score while patches of the image are removed, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from dreamopt.attribution.baselines import Baseline, checked_baseline
from dreamopt.attribution.metric import AttributionMetric
from dreamopt.attribution.patches import Patches
from dreamopt.attribution.subject import Subject
from dreamopt.parts.checks import COUNT, SIDE, Fields, Range


@dataclass(frozen=True)
class Curve:
    """A score while more and more of the image is removed.

    Parameters
    ----------
    removed : ndarray, (K,)
        The part of the image's patches that are removed, from 0 to 1.
    values : ndarray, (K,)
        The score.
    """

    removed: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def area(self) -> float:
        """The area below the curve, by the trapezoidal rule.

        >>> Curve(np.array([0, 0.5, 1]), np.array([1, 0.25, 0])).area
        0.375
        """
        return float(trapezoid(self.values, self.removed))


def flipping_curve(
    subject: Subject, heat_map: NDArray[np.float64], patch: int, baseline: Baseline, steps: int, *, least_first: bool = False
) -> Curve:
    """Return the score while patches are replaced by the baseline, most relevant first.

    A patch's relevance is the sum of the map over it.

    Parameters
    ----------
    subject : Subject
        The image and its score.
    heat_map : ndarray, (H, W)
        The map.
    patch : int
        A patch's side in pixels.
    baseline : Baseline
        What stands in the place of what is removed.
    steps : int
        How many times the score is looked at, at the most; patches are removed in groups of about equal number.
    least_first : bool
        Remove the least relevant patches first.
    """
    patches = Patches(subject.size, patch)
    order = subject.order(patches.sums(heat_map))
    if least_first:
        order = order[::-1]
    counts = np.unique(np.rint(np.linspace(0, patches.count, min(steps, patches.count) + 1)).astype(np.intp))

    def between() -> NDArray[np.float64]:
        place = np.empty(patches.count, np.intp)
        place[order] = np.arange(patches.count)
        return subject.masked_values(place < counts[1:-1, None], patches, baseline)

    values = subject.once(("curve", patch, baseline, steps, order.tobytes()), between)
    return Curve(counts / patches.count, np.array([subject.value, *values, subject.baseline_value(baseline)]))


class CurveMetric(AttributionMetric):
    """A metric of such curves; a subclass is a frozen dataclass with the fields `patch`, `baseline` and `steps`."""

    unit: ClassVar[str] = "scores"
    range: ClassVar = Range()

    patch: int
    baseline: Baseline
    steps: int

    def __post_init__(self) -> None:
        Fields(self).whole("patch", SIDE).whole("steps", COUNT)
        object.__setattr__(self, "baseline", checked_baseline(self.baseline))

    def area(self, subject: Subject, heat_map: NDArray[np.float64], *, least_first: bool = False) -> float:
        """Return the area below the `flipping_curve` of the metric's fields."""
        return flipping_curve(subject, heat_map, self.patch, self.baseline, self.steps, least_first=least_first).area

    def evaluations(self) -> int:
        """Return the points of a curve."""
        return self.steps
