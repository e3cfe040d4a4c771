"""Which runs a study makes, round by round: the reference's, those of tuning, those that are scored.

Decisions are made at the ends of rounds from rows alone, so they are the same after an interrupt, on any number of processes, and on
another machine: `schedule` is replayed from its beginning, and rows that there are already cost nothing.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dreamopt.recipes.settings import Settings
from dreamopt.study.analysis.facts import facts_of
from dreamopt.study.analysis.tuning import criterion_of
from dreamopt.study.outcome import Outcome, TrialOutcome
from dreamopt.study.proposals import Proposer, Tried, proposer
from dreamopt.study.racing import (
    Block,
    Racer,
    best_of,
    cuts,
    middle,
    quarters,
    scales_of_units,
    stop_contestants,
    stop_trials,
)
from dreamopt.study.request import Contestant, Request, Trial
from dreamopt.study.run import Phase, Row, Run

Rounds = Generator[list[Run], Sequence[Row], Outcome]


def schedule(request: Request) -> Rounds:
    """Yield a study's runs round by round, be sent the rows of each in the same order, and return what was decided.

    Parameters
    ----------
    request : Request
        The study.

    Yields
    ------
    list of Run
        What can be made in any order, by any number of processes.

    Returns
    -------
    Outcome
        As the value of `StopIteration`.
    """
    return (yield from _Schedule(request).rounds())


def plan_count(request: Request) -> int:
    """Return how many runs a study makes at most."""
    counts = [proposer(request, one).count for one in request.contestants if one.axes]
    scored, tuning = (len(_blocks(request, phase)) for phase in ("score", "tune"))
    return scored * (1 + len(request.contestants)) + tuning * (sum(counts) + (1 if counts else 0))


def outcome_of(request: Request, rows: Iterable[Row]) -> Outcome | None:
    """Return what a study's rows decided; None where they are not all there yet."""
    known = {_identity(row): row for row in rows}
    rounds = schedule(request)
    try:
        runs = next(rounds)
        while all(_identity(run) in known for run in runs):
            runs = rounds.send([known[_identity(run)] for run in runs])
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    return None


def seed_of(study_seed: int, phase: Phase, number: int) -> int:
    """Return the seed of a run: the same for all contestants and units, another one for each number, and for tuning.

    >>> seed_of(0, "score", 1) == seed_of(0, "reference", 1), seed_of(0, "tune", 1) == seed_of(0, "score", 1)
    (True, False)
    """
    return int(np.random.SeedSequence((study_seed, int(phase == "tune"), number)).generate_state(1)[0]) % 10**6


class _Schedule:
    """The state of a study on its way, made anew from rows each time."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.facts = facts_of([request.criterion])[request.criterion]
        self.rng = np.random.default_rng((request.seed, 4))
        self.rows: list[Row] = []
        self.saved = 0
        self._settings: dict[tuple[str, str], Settings] = {}

    def rounds(self) -> Rounds:
        """Yield all rounds."""
        request = self.request
        tuned = [one for one in request.contestants if one.axes]
        tuning, scored = self._shuffled("tune"), self._shuffled("score")
        reference = [self._run("reference", request.reference, {}, block, "score") for block in scored]
        if tuned:
            reference += [self._run("reference", request.reference, {}, block, "tune") for block in tuning]
        yield from self._made(reference, [])
        tuners = [_Tuner(one, proposer(request, one)) for one in tuned]
        while due := [(racer, block, tuner.contestant) for tuner in tuners for racer, block in tuner.due(tuning)]:
            due = self._by_block(due, tuning)
            yield from self._made([self._run("tune", who, racer.trial, block, "tune") for racer, block, who in due], due)
            scales = scales_of_units(request, self.rows, self.facts)
            for tuner in tuners:
                tuner.look(tuning, scales)
        scales = scales_of_units(request, self.rows, self.facts)
        chosen: dict[str, Trial] = {one.name: {} for one in request.contestants}
        for tuner in tuners:
            self.saved += sum(len(tuning) - len(racer.values) for racer in tuner.racers)
            chosen[tuner.contestant.name] = tuner.best(tuning, scales).trial
        racers = yield from self._scored(scored, chosen)
        return self._outcome(tuners, tuning, chosen, racers, scales)

    def _scored(self, blocks: list[Block], chosen: Mapping[str, Trial]) -> Generator[list[Run], Sequence[Row], list[Racer]]:
        racers = [Racer(one.name, chosen[one.name]) for one in self.request.contestants]
        looks = quarters(len(blocks)) if self.request.race else [len(blocks)]
        made = 0
        for look in looks:
            running = [one for one in racers if one.stopped is None]
            due = [(one, block, self.request.contestant(one.contestant)) for one in running for block in blocks[made:look]]
            due = self._by_block(due, blocks)
            yield from self._made([self._run("score", who, racer.trial, block, "score") for racer, block, who in due], due)
            made = look
            if look < len(blocks) and len(running) > 1:
                stop_contestants(running, blocks, scales_of_units(self.request, self.rows, self.facts), len(looks) - 1)
        self.saved += sum(len(blocks) - len(one.values) for one in racers)
        return racers

    def _made(self, runs: list[Run], due: Sequence[tuple[Racer, Block, Contestant]]) -> Generator[list[Run], Sequence[Row], None]:
        rows = yield runs
        assert len(rows) == len(runs), "each run gives a row"
        self.rows += rows
        for (racer, block, _), row in zip(due, rows, strict=False):
            racer.values[block] = criterion_of(row, self.request.criterion, self.facts)

    def _run(self, phase: Phase, contestant: Contestant, trial: Trial, block: Block, seeds: Phase) -> Run:
        net_name, unit, number = block
        net, request = self.request.net(net_name), self.request
        key = (contestant.name if phase != "reference" else "", json.dumps(dict(trial), sort_keys=True))
        if key not in self._settings:
            self._settings[key] = contestant.tuned(trial)
        settings = self._settings[key]
        settings = replace(
            settings,
            size=net.size if settings.size is None else settings.size,
            default_size=None,
            seed=seed_of(request.seed, seeds, number),
        )
        return Run(
            phase=phase,
            net=net_name,
            contestant=contestant.name,
            trial=dict(trial),
            unit=unit,
            number=number,
            settings=settings,
            budget=request.budget,
            size=net.size,
            measures=request.measures,
            also=tuple(str(one["name"]) for one in request.also),
            net_sha256=str(net.described.get("weights_sha256", "")),
        )

    def _shuffled(self, phase: Phase) -> list[Block]:
        """Return blocks in the order in which they are run: units and nets mixed, so that no look sees one layer alone."""
        blocks = _blocks(self.request, phase)
        return [blocks[place] for place in self.rng.permutation(len(blocks))]

    def _by_block(self, due: Sequence[tuple[Racer, Block, Contestant]], blocks: Sequence[Block]) -> list[tuple[Racer, Block, Contestant]]:
        """Return what is due block by block, within a block in shuffled order: a machine that becomes slower is so for all."""
        place = {block: number for number, block in enumerate(blocks)}
        mixed = [due[number] for number in self.rng.permutation(len(due))]
        return sorted(mixed, key=lambda one: place[one[1]])

    def _outcome(
        self, tuners: Sequence[_Tuner], tuning: Sequence[Block], chosen: Mapping[str, Trial], racers: Sequence[Racer], scales: Any
    ) -> Outcome:
        trials, at_end = [], []
        for tuner in tuners:
            name = tuner.contestant.name
            for one in tuner.racers:
                score = middle(one.scores(tuning, scales))
                trials.append(TrialOutcome(name, one.trial, score, len(one.values), one.stopped is not None, one.trial == chosen[name]))
            ends = [axis for axis in tuner.contestant.axes if not axis.values and chosen[name].get(axis.name) in (axis.at(0), axis.at(1))]
            at_end += [f"{name}: {axis.name} {chosen[name][axis.name]}" for axis in ends]
        spent = [row.evaluations for row in self.rows if row.status == "done"]
        each = self.request.budget.amount if self.request.budget.kind == "evals" else float(np.mean(spent)) if spent else 0.0
        raced_off = {one.contestant: one.stopped for one in racers if one.stopped is not None}
        return Outcome(dict(chosen), tuple(trials), tuple(at_end), raced_off, self.saved, round(self.saved * each))


class _Tuner:
    """How one contestant is tuned."""

    def __init__(self, contestant: Contestant, proposes: Proposer) -> None:
        self.contestant, self.proposes = contestant, proposes
        self.racers: list[Racer] = []
        self.running: list[Racer] = []
        self._tried: list[Tried] = []

    def due(self, blocks: Sequence[Block]) -> list[tuple[Racer, Block]]:
        """Return what is run next: the running trials' blocks up to the next look, or those of the trials that are proposed next."""
        if not self.running:
            self.running = [Racer(self.contestant.name, trial) for trial in self.proposes.next(self._tried)]
            self.racers += self.running
        if not self.running:
            return []
        made = len(self.running[0].values)
        look = next(cut for cut in cuts(len(blocks)) if cut > made)
        return [(racer, block) for racer in self.running for block in blocks[made:look]]

    def look(self, blocks: Sequence[Block], scales: Any) -> None:
        """Stop trials that are behind, and take note of those that are done."""
        if not self.running:
            return
        lot = list(self.running)
        if len(lot[0].values) < len(blocks):
            stop_trials(self.racers, self.running, blocks, scales)
        self.running = [one for one in lot if one.stopped is None and len(one.values) < len(blocks)]
        if not self.running:
            self._tried = [Tried(one.trial, middle(one.scores(blocks, scales))) for one in self.racers]

    def best(self, blocks: Sequence[Block], scales: Any) -> Racer:
        """Return the best of the trials that were not stopped; of equal ones the first."""
        return best_of([one for one in self.racers if one.stopped is None], blocks, scales)


def _blocks(request: Request, phase: str) -> list[Block]:
    if phase == "tune" and not any(one.axes for one in request.contestants):
        return []
    seeds = request.tuning_seeds if phase == "tune" else request.seeds
    units = [(net.name, unit) for net in request.nets for unit in (net.tuning_units if phase == "tune" else net.units)]
    return [(*unit, number) for unit in units for number in range(seeds)]


def _identity(of: Run | Row) -> tuple[Any, ...]:
    return of.phase, of.net, of.contestant, json.dumps(dict(of.trial), sort_keys=True), of.unit, of.number
