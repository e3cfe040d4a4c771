"""Tasks on a cluster: worker processes of this machine, or those of a scheduler that somebody runs.

What may be lost at any time, the scheduler, a worker, a result, is asked for again; what has come here is handed out at once and never
asked for twice.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty
from typing import Any

from dreamopt.atlas.compute import compute
from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.scheduler import Scheduler
from dreamopt.atlas.schedulers import at_work
from dreamopt.atlas.schedulers.checked import checked
from dreamopt.atlas.schedulers.courier import Courier
from dreamopt.atlas.schedulers.dask import Connection, LostError, News, Workers, quiet
from dreamopt.atlas.schedulers.installed import check_installed
from dreamopt.atlas.schedulers.processes import threads_of_each
from dreamopt.atlas.schedulers.waiting import Job, WaitingTasks
from dreamopt.atlas.task import Outcome, Task
from dreamopt.errors import BackendError, DreamoptError, UsageError, one_line

KILLED = "the processes that computed it were killed each time, also while nothing else was computed, as systems do where memory is lacking"
"""Why a unit failed whose workers die."""
_LOOK = 1.0  # seconds between two looks at which workers there are, and more of them for more workers
_SHARE = 0.75  # of a worker's memory that a task may take; its nanny pauses it at 0.8
_SILENCE = 60.0  # seconds after which somebody asks whether anything happens


@dataclass(frozen=True)
class Patience:
    """How long a lost scheduler is waited for.

    Parameters
    ----------
    tries : int
        To reach it.
    pause : float
        Seconds between two of them.
    answer : float
        Seconds that it has for an answer, each time.
    """

    tries: int = 20
    pause: float = 5.0
    answer: float = 10.0


class Cluster(Scheduler):
    """A cluster of Dask.

    Parameters
    ----------
    address : str, optional
        Of a scheduler, as tcp://10.0.0.1:8786; where there is none, worker processes of this machine are started.
    workers : int
        How many of them.
    threads : int, optional
        For each pass, in every worker; by default as `threads_of_each` for own processes, and as a worker was started for others.
    say : callable, optional
        Gets a sentence about what is waited for, lost and found again.
    patience : Patience
        With a lost scheduler.

    Raises
    ------
    UsageError
        For neither an address nor workers, or both.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int = 0,
        threads: int | None = None,
        say: Callable[[str], None] | None = None,
        patience: Patience = Patience(),  # frozen
    ) -> None:
        if (address is None) == (workers < 1):
            raise UsageError("give either the address of a scheduler or a number of worker processes")
        self.address, self.processes = address, workers
        self.threads = threads_of_each(workers) if address is None and threads is None else threads
        self._say = say or (lambda _: None)
        self._patience = patience
        self._compute = compute
        self._connection: Connection | None = None

    def run(self, tasks: Sequence[Task], nets: NetFiles) -> Iterator[Outcome]:
        """Yield the outcome of each task as it comes back; closing the iterator cancels what is in flight.

        Raises
        ------
        UsageError
            For a net that other processes cannot open.
        BackendError
            For a scheduler that stays lost, for versions that differ, for a worker that sends what is no outcome, and for a task that
            ends in an error nobody expected.
        """
        if not nets.travels:
            raise UsageError("other processes cannot open this net, since nobody said how it is loaded: give load=, or use one process")
        waiting = WaitingTasks(tasks)
        with quiet(), Courier(nets) as courier:
            try:
                yield from self._outcomes(waiting, nets, courier)
            finally:
                if waiting.unfinished and self._connection is not None:
                    self._connection.cancel()
                    if self.address is None:  # own processes need not finish what nobody waits for
                        self.close()

    def close(self) -> None:
        """End the connection, and the processes that were started."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _outcomes(self, waiting: WaitingTasks, nets: NetFiles, courier: Courier) -> Iterator[Outcome]:
        jobs: dict[str, Job] = {}
        sights = Sights(self._say)
        while waiting.unfinished:
            try:
                connection = self._connected()
                if sights.due():
                    sights.take(connection.workers(), jobs)
                    waiting.largest = None if sights.workers.memory is None else int(sights.workers.memory * _SHARE)
                while job := waiting.next(sights.workers.slots):
                    jobs[job.key] = job
                    order = at_work.Order(job.task, nets, self._compute, self.threads, at_work.versions())
                    connection.submit(job.key, order, needed(job.task, sights.workers))
                try:
                    news = connection.news.get(timeout=_LOOK)
                except Empty:
                    continue
                if not news.key:
                    courier.take_message(news.value, connection)
                    sights.take_message(news.value)
                    continue
                job = jobs.pop(news.key, None)
                if job is None:  # of a connection that was lost
                    continue
                if isinstance(news.error, LostError):
                    waiting.again(job)
                    raise news.error
            except OSError as problem:
                self._lost(waiting, jobs, problem)
                sights = Sights(self._say)
                continue
            connection.forget(news.key)
            yield from self._outcome(job, news, waiting, connection)

    def _outcome(self, job: Job, news: News, waiting: WaitingTasks, connection: Connection) -> Iterator[Outcome]:
        if news.error is None:
            outcome = checked(news.value, job.task)
            waiting.done(job)
            yield outcome
        elif connection.is_killed(news.error):
            units = f"{job.task.piece} of {job.task.layer}, {job.task.count} units"
            if waiting.killed(job):
                yield Outcome(job.task, failed=dict.fromkeys(job.task.units, KILLED))
                self._say(f"{units}: failed, {KILLED}")
            else:
                self._say(f"{units}: the workers that had it died; it is tried again in smaller parts once the others are done")
        elif isinstance(news.error, DreamoptError):
            raise news.error
        else:
            said = one_line(f"{type(news.error).__name__}: {news.error}")
            raise BackendError(f"a worker failed with {job.task.piece} of {job.task.layer}: {said}") from news.error

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self.address or "", self.processes, self.threads or 1, self._patience.answer)
            check_installed(self._connection.versions())
        elif not self._connection.stands:
            raise LostError("the connection has ended")
        return self._connection

    def _lost(self, waiting: WaitingTasks, jobs: dict[str, Job], problem: OSError) -> None:
        """Let all that was in flight wait again, and come back with another connection."""
        for job in jobs.values():
            waiting.again(job)
        jobs.clear()
        where = "of this machine" if self.address is None else f"at {self.address}"
        if self.address is None:
            raise BackendError(f"the scheduler {where} is lost; what is finished is kept, and the same command goes on") from problem
        self.close()
        for count in range(1, self._patience.tries + 1):
            self._say(f"the scheduler {where} is lost; trying to reach it ({count} of {self._patience.tries})")
            with contextlib.suppress(BackendError, OSError):
                self._connected()
                self._say(f"the scheduler {where} is back; {waiting.unfinished} tasks are left")
                return
            self.close()
            time.sleep(self._patience.pause)
        raise BackendError(
            f"the scheduler {where} is lost and did not come back within {self._patience.tries} tries; what is finished is kept, and "
            "the same command goes on"
        ) from problem


class Sights:
    """What is known of the workers, looked at now and then; says now and then what is waited for."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.workers = Workers()
        self._say = say
        self._next = 0.0
        self._heard = time.monotonic()
        self._running: dict[str, str] = {}

    def due(self) -> bool:
        """Return whether it is time to look."""
        return time.monotonic() >= self._next

    def take(self, workers: Workers, jobs: dict[str, Job]) -> None:
        """Take what there is now."""
        now = time.monotonic()
        self.workers = workers
        self._next = now + max(_LOOK, workers.slots / 100)  # of a thousand workers, a look is a message of a megabyte
        self._running = {key: worker for key, worker in self._running.items() if key in jobs}
        if now - self._heard >= _SILENCE:
            self._heard = now
            self._say(
                f"{len(self._running)} tasks are computed on {workers.slots} workers"
                if workers.slots
                else "the scheduler has no workers; waiting for one (dask worker ADDRESS --nthreads 1)"
            )

    def take_message(self, message: Any) -> None:
        """Take a worker's sign of life."""
        if isinstance(message, dict) and isinstance(message.get("beat"), str):
            self._running[message["beat"]] = str(message.get("worker"))


def needed(task: Task, workers: Workers) -> dict[str, float]:
    """Return what a task asks of a worker: of what workers declare, a GPU and its memory in bytes, no more than the largest has.

    Examples
    --------
    >>> task = Task("image", "conv1", (3,), {}, ("a",), memory=500)
    >>> needed(task, Workers(2, {"GPU": 1.0, "MEMORY": 400.0})), needed(task, Workers(2, {}))
    ({'GPU': 1.0, 'MEMORY': 400.0}, {})
    """
    declared = workers.resources or {}
    amounts = {"GPU": 1.0} if "GPU" in declared else {}
    return amounts | ({"MEMORY": min(float(task.memory), declared["MEMORY"])} if "MEMORY" in declared else {})
