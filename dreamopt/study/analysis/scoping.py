"""The results on one net, or over all nets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dreamopt.statistics import Draws, Estimate, estimate, friedman, iqm, mean, mean_ranks, median
from dreamopt.statistics.numbers import Array
from dreamopt.study.analysis.comparing import Comparison
from dreamopt.study.analysis.facts import OBJECTIVE, MeasureFacts
from dreamopt.study.analysis.progress import Progress
from dreamopt.study.analysis.results import MeasureSummary, Scope, Standing
from dreamopt.study.analysis.scale import Scale, scale_of, starts_of
from dreamopt.study.analysis.table import Sorted, Table
from dreamopt.study.analysis.verdict import Words, verdict_of

if TYPE_CHECKING:
    from dreamopt.study.request import Request

OF_REFERENCE = "of the reference's gain"
"""The unit of the common scale: what the reference reaches above the start image."""


@dataclass(frozen=True)
class Method:
    """How an analysis is made; the fields are those of `Analysis`."""

    confidence: float
    resamples: int
    seed: int


def scales_of(table: Table, values: Array, sign: int) -> list[Scale]:
    """Return the scale of each unit for a measure's `Table.values`."""
    reference = len(table.names) - 1
    by_unit: list[list[Any]] = [[] for _ in table.units]
    references: list[list[Any]] = [[] for _ in table.units]
    for (c, u, _), row in table.rows.items():
        (references if c == reference else by_unit)[u].append(row)
    scales = []
    for u in range(len(table.units)):
        starts = [sign * start for start in starts_of(references[u]) or starts_of(by_unit[u])]
        reached = values[reference, u]
        others = values[:reference, u].ravel()
        scales.append(scale_of(starts, reached[~np.isnan(reached)].tolist(), others[~np.isnan(others)].tolist()))
    return scales


def normalized(table: Table, values: Array, facts: MeasureFacts) -> tuple[Array, list[Scale]]:
    """Return values on the common scale where the measure is on the objective's, and the scales."""
    scales = scales_of(table, values, facts.sign) if facts.unit == OBJECTIVE else [Scale()] * len(table.units)
    starts, gains = (np.array([getattr(scale, name) for scale in scales])[:, None] for name in ("start", "gain"))
    return np.asarray((values - starts) / gains), scales


def objective_scales(table: Table) -> list[Scale]:
    """Return the scale of each unit for the objective along a run: what the reference's traces end with is 1."""
    ends = np.full(table.shape, np.nan)
    for place, row in table.rows.items():
        end = row.trace.values[-1] if row.status == "done" and row.trace.values else -math.inf
        ends[place] = end if math.isfinite(end) else -math.inf
    return scales_of(table, ends, 1)


class Scoping:
    """What it takes to make the results on some nets.

    Parameters
    ----------
    request : Request
        What was compared.
    ordered : Sorted
        Its rows.
    facts : mapping of str to MeasureFacts
        Of all measures.
    method : Method
        How intervals are made.
    """

    def __init__(self, request: Request, ordered: Sorted, facts: Mapping[str, MeasureFacts], method: Method) -> None:
        self.request = request
        self.ordered = ordered
        self.facts = facts
        self.method = method

    def scope(self, name: str, nets: Sequence[str]) -> Scope:
        """Return the results on nets."""
        table = self.ordered.table if len(nets) == len(self.request.nets) else self.ordered.table.on(nets)
        draws = Draws(table.strata, table.seeds, self.method.resamples, self.method.seed)
        criterion = self.facts[self.request.criterion]
        values, _ = normalized(table, table.values(self.request.criterion, criterion), criterion)
        units = [unit if len(nets) == 1 else f"{net} {unit}" for net, unit in table.units]
        progress = Progress(table, objective_scales(table))
        states = self._states(table)
        stopped = [one for one, state in zip(table.names, states, strict=True) if state == "raced off"]
        pairs = Comparison(table.names, units, values, draws, self.method.confidence, stopped).pairs()
        together = [one for one, state in zip(table.names, states, strict=True) if state not in ("raced off", "none")]
        profiles, scores = progress.profiles([one for one in together if one != table.names[-1]])
        ranks, friedmans = _ranks(values[:-1])
        tables = {measure: self._values(measure, table) for measure in self.facts}
        standings = []
        for c, contestant in enumerate(table.names):
            last = c == len(table.names) - 1
            standings.append(
                Standing(
                    contestant,
                    last,
                    self._trial(contestant, nets),
                    len(table.units) * self.request.seeds,
                    int(table.present[c].sum()),
                    int(np.isneginf(values[c]).sum()),
                    states[c],
                    self._estimate(values[c], iqm, draws, criterion),
                    self._estimate(values[c], median, draws, criterion),
                    math.nan if last else ranks[c],
                    {measure: self._summary(measure, those[c], draws) for measure, those in tables.items()},
                    progress.ert(c),
                    {axis: by_name[contestant] for axis, by_name in scores.items() if contestant in by_name},
                    _unit_means(values[c], units, criterion.sign),
                )
            )
        with_values = int((~np.isnan(values[:-1])).any((0, 2)).sum())
        verdict = verdict_of(standings[:-1], pairs, self._words(nets, with_values))
        return Scope(
            name,
            tuple(nets),
            with_values,
            tuple(standings),
            pairs,
            friedmans,
            progress.lengths,
            progress.ecdf(),
            profiles,
            progress.pair_profiles(),
            progress.data_profiles(),
            progress.convergence(),
            verdict.winner,
            verdict.alike,
            verdict.sentence,
            criterion.sign < 0,
        )

    def _states(self, table: Table) -> list[str]:
        planned = len(table.units) * self.request.seeds
        counts = table.present.sum((1, 2))
        finished = self.request.race and (counts[:-1] >= planned).any()
        missing = ["raced off" if finished else "under way"] * (len(counts) - 1) + ["under way"]
        return ["none" if not count else "complete" if count >= planned else missing[c] for c, count in enumerate(counts)]

    def _trial(self, contestant: str, nets: Sequence[str]) -> dict[str, Any]:
        trials = {net: dict(self.ordered.trials[contestant, net]) for net in nets if (contestant, net) in self.ordered.trials}
        different = list(trials.values())
        if not different or all(trial == different[0] for trial in different):
            return different[0] if different else {}
        return {f"{net}: {name}": value for net, trial in trials.items() for name, value in trial.items()}

    def _estimate(self, values: Array, statistic: Any, draws: Draws, facts: MeasureFacts) -> Estimate:
        made = estimate(values, statistic, draws, self.method.confidence)
        return -made if facts.sign < 0 else made

    def _values(self, name: str, table: Table) -> Array:
        """Return a measure's values on the common scale, (contestants, units, seeds), or (contestants, units, 1) of compared seeds."""
        facts = self.facts[name]
        if facts.compare is not None:
            return np.stack([_compared(table, c, name, facts) for c in range(len(table.names))])
        return normalized(table, table.values(name, facts), facts)[0]

    def _summary(self, name: str, values: Array, draws: Draws) -> MeasureSummary:
        facts = self.facts[name]
        unit = OF_REFERENCE if facts.unit == OBJECTIVE else facts.unit
        return MeasureSummary(name, unit, facts.better, self._estimate(values, median, draws, facts), int((~np.isnan(values)).sum()))

    def _words(self, nets: Sequence[str], units: int) -> Words:
        facts = self.facts[self.request.criterion]
        of = OF_REFERENCE if facts.unit == OBJECTIVE else "" if facts.unit == "1" else facts.unit
        where = f"{units} unit{'s' * (units != 1)} of {nets[0] if len(nets) == 1 else f'{len(nets)} nets'}"
        if any(self.ordered.tuning.values()):
            both = any(set(net.units) & set(net.tuning_units) for net in self.request.nets if net.name in nets)
            where += ", some of which were tuned on" if both else " that nobody was tuned on"
        return Words(of, where, units, self.method.confidence, facts.sign < 0)


def _unit_means(values: Array, units: Sequence[str], sign: int) -> dict[str, float]:
    there = ~np.isnan(values)
    return {units[u]: sign * float(mean(values[u][there[u]])) for u in np.flatnonzero(there.any(1)).tolist()}


def _ranks(values: Array) -> tuple[list[float], float]:
    """Return mean ranks of the contestants that have all units, and Friedman's probability for them."""
    there = ~np.isnan(values)
    by_unit = np.asarray(there.any(2), bool)
    units = np.flatnonzero(by_unit.any(0)).tolist()
    full = np.flatnonzero(by_unit[:, units].all(1)).tolist() if units else []
    ranks = [math.nan] * len(values)
    if not full:
        return ranks, math.nan
    means = np.array([[float(mean(values[c, u][there[c, u]])) for u in units] for c in full])
    for c, rank in zip(full, mean_ranks(means), strict=True):
        ranks[c] = float(rank)
    return ranks, friedman(means)


def _compared(table: Table, contestant: int, name: str, facts: MeasureFacts) -> Array:
    """Return a number for each unit whose images are compared with each other, (units, 1); not a number with fewer than two images."""
    values = np.full((len(table.units), 1), np.nan)
    assert facts.compare is not None
    for u in range(len(table.units)):
        rows = [table.rows[contestant, u, s] for s in range(table.seeds) if (contestant, u, s) in table.rows]
        vectors = [np.asarray(row.features[name], np.float64) for row in rows if row.status == "done" and name in row.features]
        if len(vectors) > 1:
            values[u] = facts.sign * facts.compare(vectors)
    return values
