"""A contestant's trials, one after the other."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from dreamopt.study.proposals.points import grid_points, random_points
from dreamopt.study.proposals.sequential import check_installed, propose
from dreamopt.study.request import Contestant, Request, Trial


@dataclass(frozen=True)
class Tried:
    """A trial and its score, larger ones better; minus infinity where it failed."""

    trial: Trial
    score: float


@dataclass(frozen=True)
class Proposer:
    """What proposes a contestant's trials.

    Parameters
    ----------
    contestant : Contestant
        Whose.
    first : tuple of Trial
        Those that are known from the start.
    count : int
        How many there are at most.
    seed : int
        Of the study.
    """

    contestant: Contestant
    first: tuple[Trial, ...]
    count: int
    seed: int

    def next(self, tried: Sequence[Tried]) -> list[Trial]:
        """Return the trials that are run next, all that can be run at the same time; none where all are made."""
        if len(tried) < len(self.first):
            return list(self.first[len(tried) :])
        if len(tried) >= self.count:
            return []
        known = [one.trial for one in tried]
        for again in range(20):  # of a whole number's few values the same one may be proposed
            trial = propose(self.contestant.axes, [(one.trial, one.score) for one in tried], self._seed(len(tried), again))
            if trial not in known:
                return [trial]
        return []

    def _seed(self, number: int, again: int) -> int:
        return zlib.crc32(f"{self.seed} {self.contestant.name} {number} {again}".encode())


def proposer(request: Request, contestant: Contestant) -> Proposer:
    """Return what proposes a contestant's trials in a study.

    A sequential search begins with a third of its trials, at least 3, at equal distances, so that all contestants begin alike.
    """
    if not contestant.axes:
        return Proposer(contestant, ({},), 1, request.seed)
    if request.search == "sequential":
        check_installed()
        first = grid_points(contestant.axes, min(max(3, request.trials // 3), request.trials), request.seed)
        return Proposer(contestant, tuple(first), request.trials, request.seed)
    points = grid_points if request.search == "grid" else random_points
    trials = points(contestant.axes, request.trials, request.seed)
    return Proposer(contestant, tuple(trials), len(trials), request.seed)
