"""How contestants were tuned: trials, sensitivity to each setting, and what racing saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dreamopt.statistics import median, sensitivity
from dreamopt.study.analysis.facts import OBJECTIVE, MeasureFacts
from dreamopt.study.analysis.results import Saved, Standing, TrialResult, Tuning
from dreamopt.study.analysis.scale import Scale, scale_of, starts_of
from dreamopt.study.analysis.table import Sorted, trial_text

if TYPE_CHECKING:
    from dreamopt.study.request import Contestant, Request
    from dreamopt.study.run import Row


def criterion_of(row: Row, criterion: str, facts: MeasureFacts) -> float:
    """Return a run's criterion times `MeasureFacts.sign`; minus infinity for a failed one."""
    value = row.measures.get(criterion)
    return facts.sign * value if row.status == "done" and value is not None and math.isfinite(value) else -math.inf


def tuning_scales(request: Request, ordered: Sorted, facts: MeasureFacts) -> dict[tuple[str, str], Scale]:
    """Return the scale of each tuning unit, by net and unit; where the reference was not run on it, 1 is the best known."""
    rows: dict[tuple[str, str], list[Row]] = {}
    for runs in ordered.tuning.values():
        for row in runs:
            rows.setdefault((row.net, row.unit), []).append(row)
    if facts.unit != OBJECTIVE:
        return dict.fromkeys(rows, Scale())
    scales = {}
    for unit, those in rows.items():
        reference = list(ordered.references.get(unit, ()))
        reached = [criterion_of(row, request.criterion, facts) for row in reference]
        others = [criterion_of(row, request.criterion, facts) for row in those]
        scales[unit] = scale_of(starts_of(reference) or starts_of(those), reached, others)
    return scales


def tuning_of(request: Request, ordered: Sorted, facts: MeasureFacts) -> tuple[Tuning, ...]:
    """Return how each contestant was tuned on each net."""
    scales = tuning_scales(request, ordered, facts)
    made = []
    for contestant in request.contestants:
        for net in request.nets:
            rows = ordered.tuning.get((contestant.name, net.name), ())
            if rows:
                scores = [float(scales[row.net, row.unit].normalize(criterion_of(row, request.criterion, facts))) for row in rows]
                made.append(_tuning(request, contestant, net.name, rows, scores, ordered))
    return tuple(made)


def _tuning(request: Request, contestant: Contestant, net: str, rows: Sequence[Row], scores: list[float], ordered: Sorted) -> Tuning:
    chosen = ordered.trials.get((contestant.name, net))
    planned = len(request.net(net).tuning_units) * request.tuning_seeds
    groups: dict[str, list[int]] = {}
    for k, row in enumerate(rows):
        groups.setdefault(trial_text(row.trial), []).append(k)
    trials = tuple(
        TrialResult(
            rows[those[0]].trial,
            len(those),
            int(np.isneginf([scores[k] for k in those]).sum()),
            float(median([scores[k] for k in those])),
            chosen is not None and text == trial_text(chosen),
            chosen is not None and len(those) < planned,
        )
        for text, those in groups.items()
    )
    axes = tuple(
        sensitivity(
            axis.name,
            [(row.trial[axis.name], score) for row, score in zip(rows, scores, strict=True) if axis.name in row.trial],
            math.nan if axis.values else axis.low,
            math.nan if axis.values else axis.high,
            axis.log and not axis.values,
            None if chosen is None else chosen.get(axis.name),
        )
        for axis in contestant.axes
    )
    return Tuning(contestant.name, net, trials, axes)


def saved_by_racing(request: Request, tuning: Sequence[Tuning], standings: Sequence[Standing], ordered: Sorted) -> Saved:
    """Return the planned runs that were not made because a trial or a contestant was behind, and their evaluations."""
    planned = {net.name: len(net.tuning_units) * request.tuning_seeds for net in request.nets}
    trials = sum(planned[one.net] - trial.runs for one in tuning for trial in one.trials if trial.stopped)
    scored = sum(one.planned - one.runs for one in standings if one.state == "raced off")
    if request.budget.kind == "evals":
        each = request.budget.amount
    else:
        spent = [row.evaluations for row in ordered.table.rows.values() if row.status == "done"]
        each = float(np.mean(spent)) if spent else 0.0
    return Saved(trials + scored, round((trials + scored) * each), trials, scored)
