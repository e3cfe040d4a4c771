"""Trials and contestants that are behind beyond chance are stopped: from rows alone, at the ends of rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dreamopt.statistics.numbers import median
from dreamopt.statistics.signed_rank import bonferroni, is_behind
from dreamopt.study.analysis.facts import OBJECTIVE, MeasureFacts
from dreamopt.study.analysis.scale import Scale, scale_of, starts_of
from dreamopt.study.analysis.tuning import criterion_of
from dreamopt.study.request import Request, Trial
from dreamopt.study.run import Row

PAIRS = 4
"""Blocks before a first look: with fewer no signed-rank test reaches .1."""
STEP = 2
"""Blocks between two looks, at least."""
LOOKS = 4
"""Looks in a race: while scoring, the level of each is a part of .05."""
Block = tuple[str, str, int]
"""Net, unit and number of a run: what all contestants make under the same conditions."""


@dataclass
class Racer:
    """What takes part in a race: a trial of a contestant, or a contestant.

    Parameters
    ----------
    contestant : str
        Its name.
    trial : mapping
        What tuning sets.
    values : dict of Block to float
        Its criterion, larger ones better, minus infinity for failures.
    stopped : int or None
        After how many blocks it was stopped; None where it was not.
    """

    contestant: str
    trial: Trial
    values: dict[Block, float] = field(default_factory=dict)
    stopped: int | None = None

    def scores(self, blocks: Sequence[Block], scales: Mapping[tuple[str, str], Scale]) -> list[float]:
        """Return its values on the common scale, those of blocks that it has made."""
        return [float(scales[block[:2]].normalize(self.values[block])) for block in blocks if block in self.values]


def cuts(blocks: int, step: int | None = None) -> list[int]:
    """Return after how many blocks there is a look, the last after all.

    >>> cuts(3), cuts(6), cuts(24)
    ([3], [4, 6], [4, 9, 14, 19, 24])
    """
    step = max(STEP, math.ceil((blocks - PAIRS) / LOOKS)) if step is None else step
    return [*range(min(PAIRS, blocks), blocks, step), blocks]


def quarters(blocks: int) -> list[int]:
    """Return the looks of a race of contestants: after each quarter of the blocks, but not before six.

    >>> quarters(36), quarters(8), quarters(5)
    ([9, 18, 27, 36], [6, 8], [5])
    """
    return sorted({min(max(math.ceil(blocks * quarter / LOOKS), 6), blocks) for quarter in range(1, LOOKS + 1)})


def scales_of_units(request: Request, rows: Sequence[Row], facts: MeasureFacts) -> dict[tuple[str, str], Scale]:
    """Return the scale of each unit from the rows so far: 0 its start image, 1 what the reference reached."""
    of_unit: dict[tuple[str, str], tuple[list[Row], list[Row]]] = {}
    for row in rows:
        of_unit.setdefault((row.net, row.unit), ([], []))[row.phase != "reference"].append(row)
    if facts.unit != OBJECTIVE:
        return dict.fromkeys(of_unit, Scale())
    scales = {}
    for unit, (reference, others) in of_unit.items():
        reached = [criterion_of(row, request.criterion, facts) for row in reference]
        scales[unit] = scale_of(starts_of(reference or others), reached, [criterion_of(row, request.criterion, facts) for row in others])
    return scales


def middle(scores: Sequence[float]) -> float:
    """Return the median, minus infinity of none."""
    return float(median(scores)) if len(scores) else -math.inf


def best_of(racers: Sequence[Racer], blocks: Sequence[Block], scales: Mapping[tuple[str, str], Scale]) -> Racer:
    """Return who has the highest median over its blocks; of equal ones the first."""
    return max(racers, key=lambda one: middle(one.scores(blocks, scales)))


def stop_trials(
    racers: Sequence[Racer], running: Sequence[Racer], blocks: Sequence[Block], scales: Mapping[tuple[str, str], Scale]
) -> None:
    """Stop those running trials of a contestant that are behind its best one by a paired signed-rank test at .1."""
    best = best_of([one for one in racers if one.stopped is None], blocks, scales)
    for one in running:
        if one is not best:
            _stop(one, best, blocks, scales, 0.1)


def stop_contestants(running: Sequence[Racer], blocks: Sequence[Block], scales: Mapping[tuple[str, str], Scale], looks: int) -> None:
    """Stop contestants that are behind the best one, so seldom by chance that .05 holds for all looks and rivals together.

    The level is halved, since who is the best is chosen by the same runs. The pairs are units, by their means: further runs of a unit tell
    nothing of others.
    """
    best = best_of(running, blocks, scales)
    rivals = len(running) - 1
    for one in running:
        if one is not best:
            _stop(one, best, blocks, scales, bonferroni(0.05, looks, rivals) / 2, by_unit=True)


def _stop(
    one: Racer, best: Racer, blocks: Sequence[Block], scales: Mapping[tuple[str, str], Scale], p: float, by_unit: bool = False
) -> None:
    both = [block for block in blocks if block in one.values and block in best.values]
    pairs = [[block for block in both if block[:2] == unit] for unit in dict.fromkeys(block[:2] for block in both)]
    if not by_unit:
        pairs = [[block] for block in both]
    scores, others = ([sum(racer.scores(pair, scales)) / len(pair) for pair in pairs] for racer in (one, best))
    if len(pairs) >= PAIRS and is_behind(scores, others, p):
        one.stopped = len(one.values)
