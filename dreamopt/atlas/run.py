"""The queue of an atlas: tasks that are missing, largest first, each written as soon as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dreamopt.atlas.folder import AtlasFolder
from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.pieces_registry import piece_of
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.scheduler import Scheduler
from dreamopt.atlas.task import Task
from dreamopt.network import Network


@dataclass(frozen=True)
class AtlasProgress:
    """How far an atlas is, after a task.

    Parameters
    ----------
    done, count : int
        Results of units that are done in this run, and that were missing when it began.
    failed : int
        How many of those done could not be made.
    seconds : float
        Since it began.
    work : float
        The part of the estimated work that is done, 0 to 1.
    piece, layer : str
        Of the last task; empty before the first.
    """

    done: int
    count: int
    failed: int = 0
    seconds: float = 0.0
    work: float = 0.0
    piece: str = ""
    layer: str = ""

    @property
    def units_per_hour(self) -> float:
        """Results of units an hour, so far."""
        return 3600 * self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds until the end; None before two results are done: the first includes the net's preparation."""
        return self.seconds * (1 - self.work) / self.work if self.work > 0 and self.done > 1 else None


Report = Callable[[AtlasProgress], object]


def missing_tasks(folder: AtlasFolder, request: AtlasRequest, network: Network) -> list[Task]:
    """Return the tasks of a request whose results are not in the folder, those of most work first."""
    tasks: list[Task] = []
    for piece in map(piece_of, request.pieces):
        missing = [task for layer in request.layers for task in piece.tasks(request, network, layer, folder.records(piece, layer.name))]
        tasks += piece.joined(missing, request, network)
    return sorted(tasks, key=lambda task: -task.cost)


def run_tasks(
    folder: AtlasFolder, tasks: Sequence[Task], scheduler: Scheduler, nets: NetFiles, report: Report | None = None
) -> AtlasProgress:
    """Do tasks, and write what comes of each before the next is waited for.

    Parameters
    ----------
    folder : AtlasFolder
        Open.
    tasks : sequence of Task
        From `missing_tasks`.
    scheduler : Scheduler
        Where they run.
    nets : NetFiles
        What opens the net.
    report : callable, optional
        Called before the first task and after each.
    """
    began, count, whole = time.monotonic(), sum(task.count for task in tasks), sum(task.cost for task in tasks)
    progress, work = AtlasProgress(0, count), 0.0
    if report is not None:
        report(progress)
    outcomes = scheduler.run(tasks, nets)
    try:
        for outcome in outcomes:
            for one in outcome.all():
                folder.write(piece_of(one.task.piece), one)
            task, seconds = outcome.task, time.monotonic() - began
            work += task.cost
            done, failed = progress.done + task.count, progress.failed + sum(len(one.failed) for one in outcome.all())
            progress = AtlasProgress(done, count, failed, seconds, work / whole if whole else 1.0, task.piece, task.layer)
            if report is not None:
                report(progress)
    finally:
        close = getattr(outcomes, "close", None)  # an iterator need not have one
        if close is not None:
            close()
    return progress
