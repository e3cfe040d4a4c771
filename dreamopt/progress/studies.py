"""Progress of a study: runs done, what is run, evaluations per second and time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from dreamopt.progress.surface import State, Surface, reporting
from dreamopt.progress.work import clock

if TYPE_CHECKING:
    from dreamopt.study.bench import Progress


def benching(progress: bool | Callable[[Progress], object] | None) -> AbstractContextManager[Callable[[Progress], object] | None]:
    """Show how far a study is; the context gives what is called after each run, which is the function that is given instead, if one is."""

    def report(shown: Surface) -> Callable[[Progress], object]:
        pace = StudyPace()

        def update(now: Progress) -> None:
            pace.add(now)
            facts = (pace.speed(),)
            shown.offer(
                lambda: State(now.runs, now.most, f"{now.runs}/{now.most} runs", pace.what(now), facts, pace.left(now)),
                finished=now.runs == now.most,
            )

        return update

    return reporting(progress, report)


class StudyPace:
    """How fast a study's runs are made; those that were made before do not count."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._made = 0
        self._evaluations = 0

    def add(self, progress: Progress) -> None:
        """Count a run."""
        if not progress.done.read:
            self._made += 1
            self._evaluations += progress.done.row.evaluations

    def what(self, progress: Progress) -> str:
        """Return what is run: the phase, the contestant and the unit."""
        row = progress.done.row
        phase = {"reference": "reference", "tune": "tuning", "score": "scoring"}[row.phase]
        who = "" if row.phase == "reference" else f" {row.contestant}"
        return f"{phase}{who} on {row.unit}"

    def speed(self) -> str:
        """Return evaluations per second."""
        return f"{self._evaluations / max(time.monotonic() - self._began, 1e-9):.3g} evaluations/s"

    def left(self, progress: Progress) -> str:
        """Return the time that is left at the most, since losing trials are stopped early."""
        if not self._made:
            return ""
        each = (time.monotonic() - self._began) / self._made
        return f"at most {clock(each * max(progress.most - progress.runs, 0))} left"
