"""Rounds of runs: those that are done already are read, the others made, and each is saved as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from dreamopt.study.execution import RunMaker, RunOutput, Stop, can_share
from dreamopt.study.folder import StudyFolder
from dreamopt.study.run import Row, Run

Batch = tuple[Run, ...]


@dataclass(frozen=True)
class RunDone:
    """A run that is done, for those who show progress.

    Parameters
    ----------
    run : Run
        Which.
    row : Row
        What it gave.
    done, count : int
        Runs of the round that are done, this one among them, and all of them.
    read : bool
        Whether it had been made before, and nothing was spent now.
    """

    run: Run
    row: Row
    done: int
    count: int
    read: bool = False


Watch = Callable[[RunDone], None]


class Workers(Protocol):
    """What makes runs: this process, several, or other machines."""

    def make(self, batches: Sequence[Batch], stop: Stop = None) -> Iterator[list[RunOutput]]:
        """Yield what batches of runs gave, each as soon as it is done, in any order."""


class SerialWorkers:
    """Makes runs in this process, one batch after the other.

    Parameters
    ----------
    maker : RunMaker
        Which holds the nets.
    """

    def __init__(self, maker: RunMaker) -> None:
        self.maker = maker

    def make(self, batches: Sequence[Batch], stop: Stop = None) -> Iterator[list[RunOutput]]:
        """Yield what batches of runs gave, in their order."""
        for batch in batches:
            yield self.maker.make(batch, stop)


def execute_runs(
    runs: Sequence[Run],
    workers: Workers,
    folder: StudyFolder,
    *,
    batch: int = 1,
    watch: Watch | None = None,
    stop: Stop = None,
) -> list[Row]:
    """Make a round of runs.

    Parameters
    ----------
    runs : sequence of Run
        Several may be the same work: it is done once.
    workers : Workers
        What makes those that the folder does not have.
    folder : StudyFolder
        Open; each row is in it before ``watch`` hears of it.
    batch : int
        How many runs that differ in the unit alone are made together.
    watch : callable, optional
        Called with a `RunDone` for each run.
    stop : callable, optional
        Asked after each step; once it returns True, KeyboardInterrupt is raised, and what is done stays.

    Returns
    -------
    list of Row
        In the runs' order.
    """
    rows: dict[int, Row] = {}
    waiting: dict[str, list[int]] = {}

    def note(place: int, row: Row, read: bool = False) -> None:
        rows[place] = row
        if watch is not None:
            watch(RunDone(runs[place], row, len(rows), len(runs), read))

    for place, run in enumerate(runs):
        row = folder.row(run)
        if row is None:
            waiting.setdefault(run.key, []).append(place)
        else:
            note(place, row, read=True)
    missing = [runs[places[0]] for places in waiting.values()]
    for outputs in workers.make(batches_of(missing, batch), stop) if missing else ():
        for output in outputs:
            first, *others = waiting[output.row.key]
            note(first, folder.save(output))
            for place in others:
                row = folder.row(runs[place])
                assert row is not None, "it has just been saved"
                note(place, row, read=True)
    return [rows[place] for place in range(len(runs))]


def batches_of(runs: Sequence[Run], size: int) -> list[Batch]:
    """Return runs in batches of those that differ in the unit alone, in the order of the first of each."""
    groups: dict[object, list[Run]] = {}
    for place, run in enumerate(runs):
        alike = (run.net, str(run.settings.describe()), str(run.budget), run.size, run.measures, run.also)
        groups.setdefault(alike if size > 1 and can_share(run) else place, []).append(run)
    return [tuple(group[first : first + size]) for group in groups.values() for first in range(0, len(group), size)]
