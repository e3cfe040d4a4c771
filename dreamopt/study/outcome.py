"""What a study's schedule decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dreamopt.statistics.numbers import json_number
from dreamopt.study.request import Trial


@dataclass(frozen=True)
class TrialOutcome:
    """A trial of a contestant.

    Parameters
    ----------
    contestant : str
        Whose.
    trial : mapping
        What it set.
    score : float
        The median of the criterion over its tuning runs, on the common scale; minus infinity where most failed.
    runs : int
        That were made.
    stopped : bool
        Whether it was stopped because it was behind.
    chosen : bool
        Whether the contestant was scored with it.
    """

    contestant: str
    trial: Trial
    score: float
    runs: int
    stopped: bool = False
    chosen: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the trial fit for JSON."""
        return {**vars(self), "trial": dict(self.trial), "score": json_number(self.score)}


@dataclass(frozen=True)
class Outcome:
    """What a schedule decided.

    Parameters
    ----------
    chosen : mapping of str to Trial
        What each contestant was scored with.
    trials : tuple of TrialOutcome
        All, in the order in which they were tried.
    at_end : tuple of str
        Contestants whose chosen value lies at the end of a range, with the setting: a wider range may hold a better one.
    raced_off : mapping of str to int
        Contestants that were stopped while scoring, and after how many blocks.
    runs_saved : int
        Runs that were planned and not made, because a trial or a contestant was behind.
    evaluations_saved : int
        About how many evaluations they would have taken.
    """

    chosen: Mapping[str, Trial]
    trials: tuple[TrialOutcome, ...] = ()
    at_end: tuple[str, ...] = ()
    raced_off: Mapping[str, int] | None = None
    runs_saved: int = 0
    evaluations_saved: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the outcome fit for JSON."""
        return {
            "chosen": {name: dict(trial) for name, trial in self.chosen.items()},
            "trials": [one.describe() for one in self.trials],
            "at_end": list(self.at_end),
            "raced_off": dict(self.raced_off or {}),
            "runs_saved": self.runs_saved,
            "evaluations_saved": self.evaluations_saved,
        }
