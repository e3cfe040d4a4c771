"""Contestants compared in pairs, on the units that both have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from dreamopt.statistics import (
    NO_ESTIMATE,
    Draws,
    Estimate,
    difference,
    holm,
    improvement,
    interval_of,
    iqm,
    mean,
    signed_rank,
    win_share,
)
from dreamopt.statistics.numbers import Array
from dreamopt.study.analysis.results import Pair

FEWEST_UNITS = 6
"""With fewer, no two-sided signed-rank test can be below .05."""
LOOKS = 4
"""How often contestants are compared while they race; the corrected p of one that was stopped early is at least p times it (Bonferroni)."""


class Comparison:
    """All pairs of contestants in a scope.

    Parameters
    ----------
    names : tuple of str
        The reference last.
    units : sequence of str
        Their names.
    values : ndarray, (contestants, units, seeds)
        The criterion on the common scale, larger is better; not a number where there is no run.
    draws : Draws
        For these units.
    confidence : float
        Of the intervals; tests are at 1 - confidence.
    stopped : collection of str
        Contestants that were raced off: the moment at which they are judged was chosen because they were behind.
    """

    def __init__(
        self, names: tuple[str, ...], units: Sequence[str], values: Array, draws: Draws, confidence: float, stopped: Collection[str] = ()
    ) -> None:
        self.stopped = stopped
        self.names = names
        self.units = units
        self.values = values
        self.draws = draws
        self.confidence = confidence
        self._resampled: dict[tuple[int, bytes], Array] = {}

    def pairs(self) -> tuple[Pair, ...]:
        """Return all ordered pairs, their probabilities corrected."""
        count = len(self.names)
        made: dict[tuple[int, int], Pair] = {}
        for a in range(count):
            for b in range(a + 1, count):
                made[a, b] = self._pair(a, b)
                made[b, a] = _turned(made[a, b])
        for a in range(count):
            others = [b for b in range(count - 1) if b != a and made[a, b].units]
            for b, p in zip(others, holm([made[a, b].p for b in others]), strict=True):
                made[a, b] = self._judged(replace(made[a, b], corrected=self._looked_at(made[a, b], p)))
        for a in range(count - 1):  # the reference against each is one family, in both directions
            if made[a, count - 1].units:
                made[a, count - 1] = self._judged(replace(made[a, count - 1], corrected=made[count - 1, a].corrected))
        return tuple(made[a, b] for a in range(count) for b in range(count) if a != b)

    def _looked_at(self, pair: Pair, p: float) -> float:
        """Return the corrected probability, at least that of one of several looks.

        A false winner must be better than one that is as good, at whichever look that one was stopped; the looks alone hold that, and
        multiplying by rivals as well would be a correction for nothing.
        """
        looks = LOOKS if pair.first in self.stopped or pair.second in self.stopped else 1
        return max(p, min(1.0, looks * pair.p))

    def _judged(self, pair: Pair) -> Pair:
        better = pair.difference.low > 0 and pair.corrected < 1 - self.confidence and pair.units >= FEWEST_UNITS
        return replace(pair, better=better)

    def _pair(self, a: int, b: int) -> Pair:
        first, second = self.values[a], self.values[b]
        both = ~(np.isnan(first) | np.isnan(second))
        units: list[int] = np.flatnonzero(both.any(1)).tolist()
        names = self.names[a], self.names[b]
        if not units:
            return Pair(*names, 0, 0, NO_ESTIMATE, np.nan, np.nan, np.nan, np.nan, False, {})
        if both[units].all():
            means = [mean(values[units]) for values in (first, second)]
        else:
            means = [np.array([mean(values[u][both[u]]) for u in units]) for values in (first, second)]
        differences = difference(*means)
        resampled = iqm(difference(self._drawn(a, both), self._drawn(b, both)))
        known = [self.units[u] for u in units]
        return Pair(
            *names,
            len(units),
            int(both.sum()),
            Estimate(float(iqm(differences)), *interval_of(resampled, self.confidence, len(units))),
            signed_rank(differences).p,
            np.nan,
            win_share(first, second),
            improvement(np.where(both, first, np.nan), np.where(both, second, np.nan)),
            False,
            dict(zip(known, differences.tolist(), strict=True)),
        )

    def _drawn(self, contestant: int, places: Array) -> Array:
        """Return means over seeds of resampled units, of the runs at these places; all contestants are resampled alike."""
        key = contestant, places.tobytes()
        if key not in self._resampled:
            self._resampled[key] = self.draws.two_levels(np.where(places, self.values[contestant], np.nan))
        return self._resampled[key]


def _turned(pair: Pair) -> Pair:
    """Return the pair in the other order."""
    return Pair(
        pair.second,
        pair.first,
        pair.units,
        pair.runs,
        -pair.difference,
        pair.p,
        np.nan,
        1 - pair.wins,
        1 - pair.improvement,
        False,
        {unit: -value + 0.0 for unit, value in pair.differences.items()},
    )
