"""What a reader of a study has to know beside its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dreamopt.parts.sentences import listed
from dreamopt.statistics import units_needed
from dreamopt.study.analysis.comparing import FEWEST_UNITS
from dreamopt.study.analysis.facts import OBJECTIVE, MeasureFacts
from dreamopt.study.analysis.results import Scope, Tuning
from dreamopt.study.analysis.scale import Scale
from dreamopt.study.analysis.table import Sorted

if TYPE_CHECKING:
    from dreamopt.study.request import Request


def notes_of(
    request: Request, ordered: Sorted, overall: Scope, tuning: Sequence[Tuning], scales: Sequence[Scale], facts: Mapping[str, MeasureFacts]
) -> tuple[str, ...]:
    """Return the notes, one sentence each."""
    several = len(request.nets) > 1
    names = [f"{net} {unit}" if several else unit for net, unit in ordered.table.units]
    return (
        *_runs(request, overall),
        *_tuning(request, ordered, tuning),
        *_units(request, ordered, overall, names, scales, facts),
        *_machines(request, ordered),
        *_rows(ordered, facts),
    )


def _count(amount: int, what: str) -> str:
    return f"{amount} {what}{'' if amount == 1 else 's'}"


def _runs(request: Request, overall: Scope) -> Iterator[str]:
    for one in overall.standings:
        who = f"The reference, {one.contestant}," if one.reference else one.contestant
        if one.failures:
            yield f"{who} has {_count(one.failures, 'failed run')} of {one.runs}, which count as infinitely bad."
        if one.state == "under way":
            yield f"{who} has {one.runs} of {one.planned} runs so far."
        elif one.state == "raced off":
            yield f"{who} was behind beyond chance and was stopped after {one.runs} of {one.planned} runs."
        elif one.state == "none":
            yield f"{who} has no scored run."
    if request.seeds == 1:
        yield "Each contestant has one run on each unit: intervals come from drawing units, since there are no seeds to draw."


def _tuning(request: Request, ordered: Sorted, tuning: Sequence[Tuning]) -> Iterator[str]:
    untuned = [one.name for one in request.contestants if not one.axes]
    if untuned and len(untuned) < len(request.contestants):
        yield f"{listed(untuned)} took part as {'it is' if len(untuned) == 1 else 'they are'}, untuned; the others were tuned."
    for one in tuning:
        where = f" on {one.net}" if len(request.nets) > 1 else ""
        for axis in one.sensitivity:
            if axis.at_end and not isinstance(axis.chosen, str) and axis.chosen is not None:
                yield f"{one.contestant} was tuned{where} to {axis.axis} = {axis.chosen:g}, an end of its range: better may lie beyond."
    counts = {one.contestant: len(one.trials) for one in tuning}
    if len(set(counts.values())) > 1:
        yield f"Contestants were tuned by different numbers of trials: {listed([f'{name} {count}' for name, count in counts.items()])}."
    for name in ordered.other_trials:
        yield f"{name} has scored runs of more than one trial; those of the trial with most runs are taken."


def _units(
    request: Request, ordered: Sorted, overall: Scope, names: Sequence[str], scales: Sequence[Scale], facts: Mapping[str, MeasureFacts]
) -> Iterator[str]:
    rivals = max(len(request.contestants) - 1, 1)
    needed = max(units_needed(rivals), FEWEST_UNITS)
    if overall.units < needed:
        yield f"{_count(overall.units, 'unit')}: a winner among {rivals + 1} contestants takes at least {needed}."
    used = ordered.table.used
    if facts[request.criterion].unit == OBJECTIVE:
        for top, text in (
            ("best", "the reference is not above the start there: 1 is the best known of anybody on {}."),
            ("none", "nobody is above the start on {}: 1 is the largest distance from it."),
        ):
            those = [name for name, scale, there in zip(names, scales, used, strict=True) if scale.top == top and there]
            if those:
                yield text.format(listed(those))[0].upper() + text.format(listed(those))[1:]
    if overall.units < sum(used):
        yield f"{request.criterion} does not apply to {_count(sum(used) - overall.units, 'unit')}, left out for all."
    both = {unit for net in request.nets for unit in set(net.units) & set(net.tuning_units)}
    if both:
        yield f"Contestants were tuned on units that they are scored on: {listed(sorted(both))}."


def _machines(request: Request, ordered: Sorted) -> Iterator[str]:
    table = ordered.table
    if len(table.machines) > 1:
        left = int(table.elsewhere.sum())
        first = table.machines[0] or "the first"
        yield f"Runs are of {len(table.machines)} machines: seconds are those of {first} alone, {_count(left, 'run')} left out."
        if request.budget.kind == "seconds":
            yield "The budget is in seconds, so that runs of another machine could do more or less for it."
    if table.rows:
        for what in ("processes", "batch"):
            amounts = {int(row.machine[what]) for place, row in table.rows.items() if what in row.machine and not table.elsewhere[place]}
            if len(amounts) > 1:
                words = "processes at a time" if what == "processes" else "images made together"
                yield f"Seconds are of runs with different numbers of {words}: {listed([str(one) for one in sorted(amounts)])}."


def _rows(ordered: Sorted, facts: Mapping[str, MeasureFacts]) -> Iterator[str]:
    if ordered.repeated:
        yield f"{_count(ordered.repeated, 'row')} stood twice and counted once."
    if ordered.foreign:
        yield f"{_count(ordered.foreign, 'row')} of other nets, units or contestants {'is' if ordered.foreign == 1 else 'are'} left out."
    unknown = [name for name, one in facts.items() if not one.known]
    if unknown:
        yield f"{listed(unknown)}: no such measure is installed here; higher is taken to be better."
