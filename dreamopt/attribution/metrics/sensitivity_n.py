"""How well the sum of the map over some patches says what their removal costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dreamopt.attribution.baselines import Baseline, checked_baseline
from dreamopt.attribution.metric import AttributionMetric, Better
from dreamopt.attribution.patches import Patches
from dreamopt.attribution.subject import Subject
from dreamopt.parts.checks import SIDE, Fields, Range


@dataclass(frozen=True)
class SensitivityN(AttributionMetric):
    r"""The correlation, over random sets S of n patches, of the map's sum over S and of the score that is lost without S.

    .. math:: \mathrm{corr}_S \Bigl( \sum_{i \in S} M_i, \; s(x) - s(x_{[x_S = x_{1,S}]}) \Bigr), \quad |S| = n

    The mean over several n. 1 for the exact attribution of a linear net; 0 for a map that says nothing, and for one that is the same
    everywhere. The sets are the same for all maps. None where the score is the same whatever is removed.

    Parameters
    ----------
    parts : tuple of float
        The sizes n of the sets, as parts of the number of patches.
    sets : int
        How many sets of each size.
    patch : int
        Side of the square patches, in pixels.
    baseline : Baseline
        What stands in the place of removed patches.

    References
    ----------
    .. [1] M. Ancona et al., "Towards better understanding of gradient-based attribution methods", 2018, section 4.2.

    Examples
    --------
    >>> print(SensitivityN(sets=100))
    sensitivity_n(sets=100)
    """

    examples: ClassVar[tuple[str, ...]] = ("sensitivity_n", 'sensitivity_n(parts=(0.1, 0.4), sets=7, patch=3, baseline="black")')
    better: ClassVar[Better] = "higher"
    range: ClassVar = Range(-1, 1)

    parts: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
    sets: int = 48
    patch: int = 8
    baseline: Baseline = "mean"

    def __post_init__(self) -> None:
        Fields(self).numbers("parts", Range(0, 1, above=True, below=True)).whole("sets", Range(low=3)).whole("patch", SIDE)
        object.__setattr__(self, "baseline", checked_baseline(self.baseline))

    def measure(self, subject: Subject, heat_map: NDArray[np.float64]) -> float | None:
        """Return the mean correlation."""
        patches = Patches(subject.size, self.patch)
        relevance = patches.sums(heat_map)
        found = []
        for part in self.parts:
            n = min(max(round(part * patches.count), 1), max(patches.count - 1, 1))
            key = ("sensitivity", n, self.sets, self.patch, self.baseline)
            removed, values = subject.once(key, partial(self._removed, subject, patches, n))
            correlation = _correlation(removed @ relevance, subject.value - values)
            if correlation is not None:
                found.append(correlation)
        return float(np.mean(found)) if found else None

    def _removed(self, subject: Subject, patches: Patches, n: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        random = subject.score.stream.generator(f"sensitivity of {n} patches")
        removed = random.random((self.sets, patches.count)).argsort(1).argsort(1) < n
        return removed, subject.masked_values(removed, patches, self.baseline)

    def evaluations(self) -> int:
        """Return 0: the sets are removed once for all maps of an image."""
        return 0


def _correlation(sums: NDArray[np.float64], lost: NDArray[np.float64]) -> float | None:
    """Return Pearson's correlation: 0 where the sums do not differ, None where the losses do not."""
    a, b = sums - sums.mean(), lost - lost.mean()
    if np.abs(b).max() <= 1e-6 * np.abs(lost).max():
        return None
    if np.abs(a).max() <= 1e-9 * np.abs(sums).max():
        return 0.0
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1))
