"""Which task is given to a cluster next, and what becomes of one whose workers die."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dreamopt.atlas.task import Task, content_key

WINDOW = 2
"""Tasks in flight for each worker: one that runs, and one that waits for it."""


@dataclass(frozen=True)
class Job:
    """A task on its way.

    Parameters
    ----------
    task : Task
        What is computed.
    alone : bool
        Whether no other task is in flight meanwhile, so that a worker's death is this one's doing.
    """

    task: Task
    alone: bool = False

    @property
    def key(self) -> str:
        """The task's content hash behind the name of its piece, by which a cluster knows it."""
        task = self.task
        layers = [{"layer": one.layer, "units": list(one.units), "keys": list(one.keys)} for one in task.all()]
        digest = content_key(piece=task.piece, part=task.part, layers=layers)
        return f"{task.piece}-{'alone-' if self.alone else ''}{digest}"


class WaitingTasks:
    """The tasks of a run: few are in flight, so that closing is quick and a scheduler is not flooded.

    A death blames all tasks that a worker had, also those that waited for it. So a task whose workers have died too often is cut in two
    and waits until the others are done; of one unit, it is tried once more with no other in flight, and only then has it failed.

    Parameters
    ----------
    tasks : sequence of Task
        In the order in which they are given away.
    largest : int, optional
        Bytes that the largest worker has: tasks estimated at more are cut.

    Examples
    --------
    >>> tasks = WaitingTasks([Task("image", "conv1", (3, 5), {}, ("a", "b"))])
    >>> job = tasks.next(workers=1)
    >>> tasks.next(workers=1) is None, tasks.killed(job), tasks.next(workers=4).task.units, tasks.next(workers=4).task.units
    (True, False, (3,), (5,))
    """

    def __init__(self, tasks: Sequence[Task], largest: int | None = None) -> None:
        self.largest = largest
        self._waiting = deque(Job(task) for task in tasks)
        self._blamed: deque[Job] = deque()
        self._alone: deque[Job] = deque()
        self._flying: dict[str, Job] = {}
        self._one_is_alone = False

    @property
    def unfinished(self) -> int:
        """How many tasks wait or are in flight."""
        return len(self._waiting) + len(self._blamed) + len(self._alone) + len(self._flying)

    @property
    def flying(self) -> int:
        """How many are in flight."""
        return len(self._flying)

    def next(self, workers: int) -> Job | None:
        """Return the next task to give away, which counts as in flight from now on; None where there are enough, or none is left.

        Parameters
        ----------
        workers : int
            How many there are; 0 counts as 1, so that something waits for the first that comes.
        """
        if self._one_is_alone or len(self._flying) >= WINDOW * max(1, workers):
            return None
        while source := self._waiting or self._blamed:
            job = source.popleft()
            halves = job.task.halves()
            if self.largest is not None and job.task.memory > self.largest and len(halves) > 1:
                source.extendleft(Job(replace(half, memory=half.memory * half.count // job.task.count)) for half in reversed(halves))
                continue
            if job.key in self._flying:  # the same work, asked for twice
                self._blamed.append(job)
                return None
            return self._started(job)
        return self._started(self._alone.popleft()) if self._alone and not self._flying else None

    def done(self, job: Job) -> None:
        """Count a task as done."""
        self._ended(job)

    def again(self, job: Job) -> None:
        """Let a task wait again, first of all: it was lost by no fault of its own."""
        if self._ended(job):
            (self._alone if job.alone else self._waiting).appendleft(job)

    def killed(self, job: Job) -> bool:
        """Let a task whose workers died wait in smaller parts; return True where nothing smaller is left to try."""
        self._ended(job)
        halves = job.task.halves()
        if len(halves) > 1:
            self._blamed.extend(Job(half) for half in halves)
        elif not job.alone:
            self._alone.append(Job(job.task, alone=True))
        return job.alone

    def _started(self, job: Job) -> Job:
        self._flying[job.key] = job
        self._one_is_alone = job.alone
        return job

    def _ended(self, job: Job) -> bool:
        self._one_is_alone = self._one_is_alone and not job.alone
        return self._flying.pop(job.key, None) is not None
