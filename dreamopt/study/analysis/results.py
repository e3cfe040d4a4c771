"""What an analysis says: everything that a report shows, as numbers and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from dreamopt.statistics import Band, Curve, Ert, Estimate, Sensitivity, json_number

Axes = Mapping[str, Mapping[str, Curve]]
"""Curves by axis ("evaluations", "seconds"), then by contestant."""


@dataclass(frozen=True)
class MeasureSummary:
    """A contestant's median of one measure over units and seeds.

    Parameters
    ----------
    name, unit : str
        Of the measure; the unit is "of the reference's gain" where values are on the common scale.
    better : {"higher", "lower", "neither"}
        Which of two medians is the better one.
    median : Estimate
        With its interval, failures being infinitely bad; a measure that compares seeds: over units.
    runs : int
        That it applies to.
    """

    name: str
    unit: str
    better: str
    median: Estimate
    runs: int


@dataclass(frozen=True)
class Standing:
    """A contestant in a scope.

    Parameters
    ----------
    contestant : str
        Its name.
    reference : bool
        Whether it is the reference, which is compared with and takes no part.
    trial : mapping
        The chosen one: values by the names of axes; empty where nothing was tuned.
    planned, runs, failures : int
        Scored runs that the request asks for, that there are, and that failed.
    state : {"complete", "raced off", "under way", "none"}
        Whether all runs are there; whether it was stopped because it was behind; or neither yet.
    iqm, median : Estimate
        Of the criterion over units and seeds, on the common scale, with stratified bootstrap intervals (seeds within units).
    mean_rank : float
        Over units, 1 the best; not a number where it has not all units.
    measures : mapping of str to MeasureSummary
        All measures, by name.
    ert : tuple of Ert
        One for each target.
    score : mapping of str to float
        The integrated score of its performance profile, by axis.
    values : mapping of str to float
        Mean over seeds of the criterion on the common scale, by unit (``"unit"``; ``"net unit"`` over several nets).
    """

    contestant: str
    reference: bool
    trial: Mapping[str, Any]
    planned: int
    runs: int
    failures: int
    state: str
    iqm: Estimate
    median: Estimate
    mean_rank: float
    measures: Mapping[str, MeasureSummary]
    ert: tuple[Ert, ...]
    score: Mapping[str, float]
    values: Mapping[str, float]


@dataclass(frozen=True)
class Pair:
    """Two contestants on the units that both have; both orders are there.

    Parameters
    ----------
    first, second : str
        Their names.
    units, runs : int
        Paired units, and paired runs.
    difference : Estimate
        Interquartile mean of the units' differences, first less second, of the criterion on the common scale (positive: the first is
        better, also of a measure that is better lower), with the interval of the two-level bootstrap (units, then seeds within them).
    p, corrected : float
        Wilcoxon's signed-rank over units, two-sided; and corrected by Holm for all comparisons of the first with other contestants.
    wins : float
        Share of paired runs in which the first is better, ties half.
    improvement : float
        Probability that a run of the first is better than one of the second on the same unit (Mann-Whitney).
    better : bool
        Whether the first is better: the interval lies above 0, the corrected p is below 1 - confidence, and the units are enough.
    differences : mapping of str to float
        By unit.
    """

    first: str
    second: str
    units: int
    runs: int
    difference: Estimate
    p: float
    corrected: float
    wins: float
    improvement: float
    better: bool
    differences: Mapping[str, float]


@dataclass(frozen=True)
class Scope:
    """The results on one net, or over all nets with each net's units as a stratum.

    Parameters
    ----------
    name : str
        The net's, or "all nets".
    nets : tuple of str
        The nets.
    units : int
        Scored units that have runs.
    standings : tuple of Standing
        Contestants in the order of the request, then the reference.
    pairs : tuple of Pair
        All ordered pairs.
    friedman : float
        Friedman's probability over the units that all contestants have; not a number with fewer than three contestants or two units.
    targets : tuple of int
        Run lengths of the reference that set the targets.
    ecdf : mapping
        Share of targets, units and seeds reached, by axis and contestant.
    profiles : mapping
        Performance profiles of all contestants together, by axis and contestant: share of (target, unit, seed) against the ratio.
    pair_profiles : mapping
        By axis and ``"FIRST against SECOND"``: the first's profile when the two are alone.
    data_profiles : mapping
        By tolerance ("0.1": within a tenth of the way of the best known) and contestant: share of (unit, seed) against evaluations.
    convergence : mapping of str to mapping of str to Band
        The objective on the common scale along the run, by axis and contestant.
    winner : str or None
        Named only if it is better than each other contestant.
    alike : tuple of str
        Without a winner: those that cannot be distinguished from the leader, the leader first.
    verdict : str
        One or two sentences.
    lower : bool
        Whether lower values of the criterion are better.
    """

    name: str
    nets: tuple[str, ...]
    units: int
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    friedman: float
    targets: tuple[int, ...]
    ecdf: Axes
    profiles: Axes
    pair_profiles: Axes
    data_profiles: Axes
    convergence: Mapping[str, Mapping[str, Band]]
    winner: str | None
    alike: tuple[str, ...]
    verdict: str
    lower: bool = False

    def standing(self, contestant: str) -> Standing:
        """Return a contestant's standing."""
        return next(one for one in self.standings if one.contestant == contestant)

    def pair(self, first: str, second: str) -> Pair:
        """Return the comparison of two."""
        return next(pair for pair in self.pairs if (pair.first, pair.second) == (first, second))

    @property
    def ranking(self) -> tuple[str, ...]:
        """Contestants without the reference, the best interquartile mean of the criterion first."""
        sign = 1 if self.lower else -1
        contestants = [one for one in self.standings if not one.reference]
        return tuple(one.contestant for one in sorted(contestants, key=lambda one: (one.iqm.value != one.iqm.value, sign * one.iqm.value)))

    def win_matrix(self, names: tuple[str, ...]) -> tuple[tuple[float, ...], ...]:
        """Return the shares of paired runs won, rows against columns; half on the diagonal."""
        return tuple(tuple(0.5 if a == b else self.pair(a, b).wins for b in names) for a in names)


@dataclass(frozen=True)
class TrialResult:
    """A trial of a contestant on a net's tuning units.

    Parameters
    ----------
    trial : mapping
        Values by the names of axes.
    runs, failures : int
        Made, and failed.
    value : float
        Median of the criterion on the common scale.
    chosen, stopped : bool
        Whether it was scored; whether it was stopped early, being behind.
    """

    trial: Mapping[str, Any]
    runs: int
    failures: int
    value: float
    chosen: bool
    stopped: bool


@dataclass(frozen=True)
class Tuning:
    """How a contestant was tuned on a net.

    Parameters
    ----------
    contestant, net : str
        Their names; the net is "all nets" where tuning was on all of them.
    trials : tuple of TrialResult
        In the order in which they were made.
    sensitivity : tuple of Sensitivity
        One for each axis.
    """

    contestant: str
    net: str
    trials: tuple[TrialResult, ...]
    sensitivity: tuple[Sensitivity, ...]


@dataclass(frozen=True)
class Saved:
    """What racing saved.

    Parameters
    ----------
    runs : int
        Planned runs that were not made, because their contestant or trial was behind.
    evaluations : int
        That they would have spent, by the budget, or by what runs of the study spent on average.
    tuning_runs, scored_runs : int
        Of the runs, those of trials and those of contestants.
    """

    runs: int
    evaluations: int
    tuning_runs: int
    scored_runs: int


@dataclass(frozen=True)
class Analysis:
    """All that a study's rows say.

    Parameters
    ----------
    title, criterion, unit, better, budget : str
        Of the study: the criterion with its unit and which of two values is the better one.
    normalized : bool
        Whether the criterion is on the common scale: 0 the start image, 1 what the reference reaches on the unit. Else it is as measured.
    contestants : tuple of str
        In the order of the request.
    reference : str
        Its name.
    confidence : float
        Of all intervals.
    resamples, seed : int
        Of the bootstraps.
    scopes : tuple of Scope
        Over everything first; where there are several nets, then each net.
    tuning : tuple of Tuning
        By contestant and net.
    saved : Saved
        By racing.
    machines : tuple of str
        What runs were made on, the one with most of them first; seconds are compared on that one alone.
    complete : bool
        Whether all runs that the study needs are there.
    notes : tuple of str
        What a reader has to know, one sentence each.
    """

    title: str
    criterion: str
    unit: str
    better: str
    budget: str
    normalized: bool
    contestants: tuple[str, ...]
    reference: str
    confidence: float
    resamples: int
    seed: int
    scopes: tuple[Scope, ...]
    tuning: tuple[Tuning, ...]
    saved: Saved
    machines: tuple[str, ...]
    complete: bool
    notes: tuple[str, ...] = field(default=())

    @property
    def overall(self) -> Scope:
        """The scope over everything."""
        return self.scopes[0]

    @property
    def winner(self) -> str | None:
        """The contestant that is better than each other over everything; None where there is none."""
        return self.overall.winner

    @property
    def verdict(self) -> str:
        """The result in one or two sentences."""
        return self.overall.verdict

    def describe(self) -> dict[str, Any]:
        """Return the analysis fit for JSON: infinities as "inf" and "-inf", what is not a number as None."""
        described = {known.name: plain(getattr(self, known.name)) for known in fields(self)}
        return {"winner": self.winner, "verdict": self.verdict, **described}


def plain(value: Any) -> Any:
    """Return dataclasses, mappings, tuples and numbers fit for JSON."""
    if isinstance(value, bool | str | int) or value is None:
        return value
    if isinstance(value, float):
        return json_number(value)
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if hasattr(value, "describe"):
        return value.describe()
    assert is_dataclass(value)
    return {known.name: plain(getattr(value, known.name)) for known in fields(value)}
