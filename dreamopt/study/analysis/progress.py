"""Runs on their way: when targets were reached, and curves of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from dreamopt.statistics import (
    Band,
    Curve,
    Ert,
    bands,
    data_profile,
    ecdf,
    expected_runtime,
    first_reached,
    integrated_score,
    performance_profile,
    performance_ratios,
    run_lengths,
    targets_of,
    values_at,
)
from dreamopt.statistics.numbers import Array
from dreamopt.statistics.runtimes import running_best
from dreamopt.study.analysis.scale import Scale
from dreamopt.study.analysis.table import Place, Table

AXES = ("evaluations", "seconds")
TOLERANCES = (0.5, 0.25, 0.1)
"""Of data profiles: the part of the way from the start to the best known that may be missing."""
GRID_STEP = 2**0.25
"""Of the common points of convergence bands; traces have their points about as far apart."""


class Progress:
    """Traces of scored runs.

    Parameters
    ----------
    table : Table
        Scored runs.
    scales : sequence of Scale
        Of the objective, for each unit.
    """

    def __init__(self, table: Table, scales: list[Scale]) -> None:
        self.table = table
        self.scales = scales
        self._points: dict[Place, dict[str, tuple[Array, Array]]] = {}
        for place, row in table.rows.items():
            values = np.asarray(row.trace.values, np.float64)
            spent = {"evaluations": row.trace.evaluations, "seconds": row.trace.seconds}
            self._points[place] = {axis: (np.asarray(along, np.float64), values) for axis, along in spent.items()}

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The run lengths that set targets: 8, 16 ... as far as the reference's runs go."""
        reference = len(self.table.names) - 1
        spent = [row.evaluations for (c, _, _), row in self.table.rows.items() if c == reference and row.status == "done"]
        return run_lengths(float(np.median(spent))) if spent else ()

    @cached_property
    def targets(self) -> Array:
        """The objective that the reference had reached after each length, (units, targets); not a number where it had reached nothing."""
        reference = len(self.table.names) - 1
        targets = np.full((len(self.table.units), len(self.lengths)), np.nan)
        for u in range(len(self.table.units)):
            places = [(reference, u, s) for s in range(self.table.seeds) if (reference, u, s) in self.table.rows]
            nothing = np.empty(0), np.empty(0)
            traces = [self._points[place]["evaluations"] if self.table.rows[place].status == "done" else nothing for place in places]
            if traces:
                targets[u] = targets_of(traces, self.lengths)
        return np.where(np.isfinite(targets), targets, np.nan)

    def times(self, axis: str, targets: Array) -> Array:
        """Return what each run had spent when it reached each target.

        Parameters
        ----------
        axis : {"evaluations", "seconds"}
            What is counted; seconds of the machine alone that most runs were made on.
        targets : ndarray, (units, T)
            Not a number: none.

        Returns
        -------
        ndarray, (contestants, T, units, seeds)
            Infinity: never, also of a failed run. Not a number: no run, or no target.
        """
        contestants, units, seeds = self.table.shape
        times = np.full((contestants, targets.shape[1], units, seeds), np.nan)
        for (c, u, s), row in self.table.rows.items():
            if axis == "seconds" and self.table.elsewhere[c, u, s]:
                continue
            goals = targets[u]
            reached = np.full(goals.shape, np.inf) if row.status == "failed" else first_reached(self._points[c, u, s][axis], goals)
            times[c, :, u, s] = np.where(np.isnan(goals), np.nan, reached)
        return times

    @cached_property
    def target_times(self) -> dict[str, Array]:
        """The `times` to the targets by run length, by axis."""
        return {axis: self.times(axis, self.targets) for axis in AXES}

    def ert(self, contestant: int) -> tuple[Ert, ...]:
        """Return the expected runtime to each target over all units and seeds."""
        spent = np.zeros(self.table.shape[1:])
        for (c, u, s), row in self.table.rows.items():
            if c == contestant:
                spent[u, s] = row.evaluations
        made = []
        for t, length in enumerate(self.lengths):
            times = self.target_times["evaluations"][contestant, t]
            there = ~np.isnan(times)
            made.append(expected_runtime(times[there], spent[there], length))
        return tuple(made)

    def ecdf(self) -> dict[str, dict[str, Curve]]:
        """Return the share of targets, units and seeds reached, by axis and contestant."""
        return {axis: {name: ecdf(self.target_times[axis][c]) for c, name in self._with_runs(axis)} for axis in AXES}

    def _with_runs(self, axis: str) -> list[tuple[int, str]]:
        times = self.target_times[axis]
        return [(c, name) for c, name in enumerate(self.table.names) if not np.isnan(times[c]).all()]

    def _ratios(self, axis: str, contestants: list[int]) -> Array:
        """Return the ratios on problems (target, unit, seed) that all of them have, (contestants, problems)."""
        times = self.target_times[axis][contestants].reshape(len(contestants), -1)
        return performance_ratios(times[:, ~np.isnan(times).any(0)])

    def profiles(self, together: list[str]) -> tuple[dict[str, dict[str, Curve]], dict[str, dict[str, float]]]:
        """Return performance profiles of some contestants together, and their integrated scores, by axis and contestant."""
        curves: dict[str, dict[str, Curve]] = {}
        scores: dict[str, dict[str, float]] = {}
        for axis in AXES:
            members = [(c, name) for c, name in self._with_runs(axis) if name in together]
            ratios = self._ratios(axis, [c for c, _ in members]) if members else np.empty((0, 0))
            curves[axis] = {name: performance_profile(row) for (_, name), row in zip(members, ratios, strict=True)}
            scores[axis] = {name: integrated_score(row) for (_, name), row in zip(members, ratios, strict=True)}
        return curves, scores

    def pair_profiles(self) -> dict[str, dict[str, Curve]]:
        """Return the performance profile of each contestant against each other alone, by axis and ``"FIRST against SECOND"``."""
        curves: dict[str, dict[str, Curve]] = {axis: {} for axis in AXES}
        for axis in AXES:
            members = self._with_runs(axis)
            for k, (a, first) in enumerate(members):
                for b, second in members[k + 1 :]:
                    ratios = self._ratios(axis, [a, b])
                    curves[axis][f"{first} against {second}"] = performance_profile(ratios[0])
                    curves[axis][f"{second} against {first}"] = performance_profile(ratios[1])
        return curves

    def data_profiles(self) -> dict[str, dict[str, Curve]]:
        """Return the share of (unit, seed) solved against evaluations, by tolerance and contestant."""
        best = np.full(len(self.table.units), -np.inf)
        for (c, u, s), row in self.table.rows.items():
            if row.status == "done" and row.trace.values:
                best[u] = max(best[u], running_best(self._points[c, u, s]["evaluations"][1])[-1])
        starts = np.array([scale.start for scale in self.scales])
        gains = np.where(best > starts, best - starts, np.nan)
        times = self.times("evaluations", best[:, None] - np.outer(gains, TOLERANCES))
        members = [(c, name) for c, name in enumerate(self.table.names) if self.table.present[c].any()]
        return {f"{tolerance:g}": {name: data_profile(times[c, t]) for c, name in members} for t, tolerance in enumerate(TOLERANCES)}

    def convergence(self) -> dict[str, dict[str, Band]]:
        """Return the objective on the common scale along the run, by axis and contestant."""
        return {axis: self._convergence(axis) for axis in AXES}

    def _convergence(self, axis: str) -> dict[str, Band]:
        places = [place for place in self._points if axis != "seconds" or not self.table.elsewhere[place]]
        ends = {place: float(self._points[place][axis][0][-1]) for place in places if len(self._points[place][axis][0])}
        seen = np.concatenate([self._points[place][axis][0] for place in ends]) if ends else np.empty(0)
        grid = common_grid(seen)
        by_contestant: Mapping[str, list[Place]] = {name: [p for p in places if p[0] == c] for c, name in enumerate(self.table.names)}
        made = {}
        for name, those in by_contestant.items():
            runs = [place for place in those if self.table.rows[place].status == "done" and place in ends]
            moving = [ends[place] for place in runs if not self.table.rows[place].reason]
            own = np.union1d(grid, [min(moving)]) if moving else grid
            lines = [np.full(own.shape, -np.inf)] * (len(those) - len(runs))
            for place in runs:
                at = values_at(self._points[place][axis], own, stays=bool(self.table.rows[place].reason))
                lines.append(self.scales[place[1]].normalize(at))
            if lines:
                made[name] = bands(lines, own)
        return made


def common_grid(seen: Array) -> Array:
    """Return 0 and points spaced by 2^(1/4) from the smallest number above 0 to the largest; of whole numbers, whole ones.

    >>> common_grid(np.array([0.0, 1, 3, 8])).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    """
    above = seen[seen > 0]
    if not above.size:
        return np.zeros(min(seen.size, 1))
    steps = int(np.ceil(np.log(above.max() / above.min()) / np.log(GRID_STEP)))
    grid = np.minimum(above.min() * GRID_STEP ** np.arange(steps + 1), above.max())
    whole = (above == np.rint(above)).all()
    return np.concatenate([[0.0], np.unique(np.rint(grid) if whole else grid)])
