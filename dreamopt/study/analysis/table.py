"""Rows in order: which row is whose run on which unit from which start."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.statistics.numbers import Array
from dreamopt.study.analysis.facts import MeasureFacts

if TYPE_CHECKING:
    from dreamopt.study.request import Request
    from dreamopt.study.run import Row

Place = tuple[int, int, int]
"""Of a contestant, a unit, and which of the unit's runs it is."""


def trial_text(trial: Mapping[str, Any]) -> str:
    """Return a trial as one text, the same for the same values in any order.

    >>> trial_text({"noise": 1.0, "blur": 0}) == trial_text({"blur": 0, "noise": 1})
    True
    """
    numbers = {name: float(value) if isinstance(value, int | float) else value for name, value in trial.items()}
    return json.dumps(numbers, sort_keys=True)


def machine_text(machine: Mapping[str, Any]) -> str:
    """Return what decides how long a run takes as one text.

    >>> machine_text({"cpu": "Xeon", "device": "cpu", "threads": 2, "torch": "2.9", "batch": 4})
    'Xeon, cpu, 2 threads, torch 2.9'
    """
    threads = machine.get("threads")
    parts = [machine.get("cpu"), machine.get("device"), f"{threads} thread{'s' * (threads != 1)}" if threads else None]
    return ", ".join(str(part) for part in [*parts, f"torch {machine['torch']}" if machine.get("torch") else None] if part)


@dataclass(frozen=True, eq=False)
class Table:
    """Scored runs: at most one for each contestant, unit and number.

    Parameters
    ----------
    names : tuple of str
        Contestants in the order of the request, then the reference.
    units : tuple of (str, str)
        Net and unit.
    seeds : int
        The most runs of a unit.
    rows : mapping of (int, int, int) to Row
        By places in the above, and the number.
    """

    names: tuple[str, ...]
    units: tuple[tuple[str, str], ...]
    seeds: int
    rows: Mapping[Place, Row]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(contestants, units, seeds)."""
        return len(self.names), len(self.units), self.seeds

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Whether there is a row at each place."""
        there = np.zeros(self.shape, bool)
        for place in self.rows:
            there[place] = True
        return there

    @cached_property
    def used(self) -> list[bool]:
        """Whether there is any row of each unit."""
        with_rows = {u for _, u, _ in self.rows}
        return [u in with_rows for u in range(len(self.units))]

    @cached_property
    def strata(self) -> NDArray[np.intp]:
        """The number of each unit's net."""
        nets = list(dict.fromkeys(net for net, _ in self.units))
        return np.array([nets.index(net) for net, _ in self.units], np.intp)

    def on(self, nets: Sequence[str]) -> Table:
        """Return the part on some nets."""
        kept = [u for u, (net, _) in enumerate(self.units) if net in nets]
        places = {u: k for k, u in enumerate(kept)}
        rows = {(c, places[u], s): row for (c, u, s), row in self.rows.items() if u in places}
        return Table(self.names, tuple(self.units[u] for u in kept), self.seeds, rows)

    @cached_property
    def machines(self) -> tuple[str, ...]:
        """What runs were made on, the one with most of them first."""
        return tuple(name for name, _ in Counter(machine_text(row.machine) for row in self.rows.values()).most_common())

    @cached_property
    def elsewhere(self) -> NDArray[np.bool_]:
        """Whether a row is of another machine than most."""
        other = np.zeros(self.shape, bool)
        for place, row in self.rows.items():
            other[place] = machine_text(row.machine) != self.machines[0]
        return other

    def failed(self, row: Row, name: str) -> bool:
        """Return whether a run has failed, or its measure is not finite."""
        value = row.measures.get(name)
        return row.status == "failed" or (value is not None and not np.isfinite(value))

    def values(self, name: str, facts: MeasureFacts) -> Array:
        """Return a measure as it was taken, times `MeasureFacts.sign`, (contestants, units, seeds).

        A failed run is minus infinity (not a number, where neither direction is better), and so is one that has no value although others of
        its unit have one. Not a number: there is no run, or the measure applies to no run of the unit.
        """
        values = np.full(self.shape, np.nan)
        worst = np.nan if facts.better == "neither" else -np.inf
        for place, row in self.rows.items():
            value = row.measures.get(name)
            failed = self.failed(row, name) or value is None
            values[place] = worst if failed or value is None else facts.sign * value
        applies = np.zeros(len(self.units), bool)
        done = np.zeros(len(self.units), bool)
        for (_, u, _), row in self.rows.items():
            applies[u] |= row.measures.get(name) is not None
            done[u] |= row.status == "done"
        values[:, done & ~applies] = np.nan
        if facts.unit == "seconds":
            values[self.elsewhere] = np.nan
        return values


@dataclass(frozen=True, eq=False)
class Sorted:
    """The rows of a study by what they are for.

    Parameters
    ----------
    table : Table
        Scored runs and the reference's.
    trials : mapping of (str, str) to mapping
        The chosen trial by contestant and net.
    tuning : mapping of (str, str) to tuple of Row
        Tuning runs by contestant and net.
    references : mapping of (str, str) to tuple of Row
        The reference's runs on tuning units, by net and unit.
    repeated : int
        Rows that were there already.
    other_trials : tuple of str
        Contestants with scored rows of more than one trial; those of the trial with most rows are taken.
    foreign : int
        Rows of nets, units or contestants that the request does not have.
    """

    table: Table
    trials: Mapping[tuple[str, str], Mapping[str, Any]]
    tuning: Mapping[tuple[str, str], tuple[Row, ...]]
    references: Mapping[tuple[str, str], tuple[Row, ...]]
    repeated: int
    other_trials: tuple[str, ...]
    foreign: int


def sort_rows(request: Request, rows: Iterable[Row]) -> Sorted:
    """Return rows in order, each run once."""
    contestants = tuple(one.name for one in request.contestants)
    names = (*contestants, request.reference.name)
    units = tuple((net.name, unit) for net in request.nets for unit in net.units)
    tuning_units = {(net.name, unit) for net in request.nets for unit in net.tuning_units}
    place_of = {unit: u for u, unit in enumerate(units)}
    seen: set[tuple[Any, ...]] = set()
    scored: dict[tuple[str, str], dict[str, list[Row]]] = {}
    tuning: dict[tuple[str, str], list[Row]] = {}
    references: dict[tuple[str, str], list[Row]] = {}
    repeated = foreign = 0
    for row in rows:
        identity = (row.phase, row.net, row.contestant, trial_text(row.trial), row.unit, row.number)
        unit = (row.net, row.unit)
        if identity in seen:
            repeated += 1
        elif row.phase == "tune" and unit in tuning_units and row.contestant in contestants:
            tuning.setdefault((row.contestant, row.net), []).append(row)
        elif row.phase == "reference" and unit in tuning_units and unit not in place_of:
            references.setdefault(unit, []).append(row)
        elif ((row.phase == "score" and row.contestant in contestants) or row.phase == "reference") and unit in place_of:
            who = row.contestant if row.phase == "score" else request.reference.name
            scored.setdefault((who, row.net), {}).setdefault(trial_text(row.trial), []).append(row)
        else:
            foreign += 1
        seen.add(identity)
    chosen = {who: max(by_trial.values(), key=len) for who, by_trial in scored.items()}
    placed = {
        ((names.index(who) if who != request.reference.name else len(contestants)), place_of[row.net, row.unit], row.number): row
        for (who, _), those in chosen.items()
        for row in those
    }
    seeds = max([request.seeds, *(number + 1 for _, _, number in placed)])
    return Sorted(
        Table(names, units, seeds, placed),
        {who: those[0].trial for who, those in chosen.items()},
        {who: tuple(those) for who, those in tuning.items()},
        {unit: tuple(those) for unit, those in references.items()},
        repeated,
        tuple(dict.fromkeys(who for (who, _), by_trial in scored.items() if len(by_trial) > 1)),
        foreign,
    )
