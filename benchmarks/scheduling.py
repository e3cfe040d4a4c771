"""A cluster of a thousand workers that exists in this process alone: what scheduling, windows and deaths cost an atlas.

``python -m benchmarks.scheduling [--workers N] [--overhead MS] [--lifetime HOURS] [--tasks N] [--window N ...]``

Simulated are time, workers and Dask's scheduler, as its documentation describes it: a task goes to the worker that has fewest, a worker
computes one and holds the others, a death blames all that it had, and what was blamed four times comes back as killed. Which task goes
next, how many are in flight and what becomes of the killed is decided by `dreamopt.atlas.schedulers.waiting.WaitingTasks` itself. Client
and scheduler are one server: each task takes it a fixed time, which ``python -m benchmarks.cluster`` measures.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from dreamopt.atlas.schedulers.waiting import WINDOW, Job, WaitingTasks
from dreamopt.atlas.task import Task

ALLOWED_FAILURES = 3
"""Of Dask's scheduler: deaths of its workers that a task survives."""
RESTART = 60.0
"""Seconds until another worker stands in for one that died."""


@dataclass(frozen=True)
class Cluster:
    """What is simulated.

    Parameters
    ----------
    workers : int
        Processes.
    seconds : float
        Mean of a task; they vary as `costs` says.
    tasks : int
        For each worker.
    overhead : float
        Seconds that client and scheduler take for a task, one after the other.
    lifetime : float
        Mean seconds until a worker dies; 0: none dies.
    window : int
        Tasks in flight for each worker.
    units : int
        Units of a task.
    seed : int
        Of costs and deaths.
    """

    workers: int = 1000
    seconds: float = 60.0
    tasks: int = 20
    overhead: float = 0.002
    lifetime: float = 0.0
    window: int = WINDOW
    units: int = 8
    seed: int = 0


@dataclass
class Outcome:
    """What came of it: seconds until the end, seconds of computing in vain, deaths, tasks that were killed, the most that was in flight."""

    seconds: float = 0.0
    useful: float = 0.0
    wasted: float = 0.0
    deaths: int = 0
    killed: int = 0
    failed: int = 0
    most: int = 0


@dataclass
class _Worker:
    held: list[Job] = field(default_factory=list)
    began: float = 0.0
    alive: bool = True
    life: int = 0  # so that an event of an earlier life is left


def costs(cluster: Cluster) -> list[float]:
    """Return seconds of tasks, largest first: from a third to twice the mean, as batches of several layers have."""
    chance = random.Random(cluster.seed)
    spread = [chance.uniform(1 / 3, 5 / 3) for _ in range(cluster.workers * cluster.tasks)]
    return sorted((cluster.seconds * share for share in spread), reverse=True)


class Simulation:
    """One run; see the module."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.outcome = cluster, Outcome()
        self._chance = random.Random(cluster.seed + 1)
        tasks = [
            Task("image", f"layer{number}", tuple(range(cluster.units)), {}, tuple(map(str, range(cluster.units))), cost=cost)
            for number, cost in enumerate(costs(cluster))
        ]
        self.outcome.useful = sum(task.cost for task in tasks)
        self._waiting = WaitingTasks(tasks)
        self._workers = [_Worker() for _ in range(cluster.workers)]
        self._free = [(0, number) for number in range(cluster.workers)]  # a heap of (tasks held, worker), some of it out of date
        self._blame: dict[str, int] = {}
        self._homeless: list[Job] = []
        self._events: list[tuple[float, int, str, int, int, Job | None]] = []
        self._count = 0
        self._server = 0.0  # when client and scheduler are free again

    def run(self) -> Outcome:
        """Return what came of it."""
        if self.cluster.lifetime:
            for number in range(self.cluster.workers):
                self._at(self._lifetime(), "death", number)
        self._fill(0.0)
        while self._waiting.unfinished:
            now, _, kind, number, life, job = heapq.heappop(self._events)
            self.outcome.seconds = now
            worker = self._workers[number]
            if kind == "arrival" and job is not None:
                self._place(now, job)
            elif kind == "end" and worker.life == life:
                self._end(now, number)
            elif kind == "result" and job is not None:
                self._waiting.done(job)
                self._fill(now)
            elif kind == "death" and worker.life == life:
                self._die(now, number)
            elif kind == "birth":
                worker.alive = True
                self._at(now + self._lifetime(), "death", number)
                heapq.heappush(self._free, (0, number))
                homeless, self._homeless = self._homeless, []
                for job in homeless:
                    self._place(now, job)
        return self.outcome

    def _fill(self, now: float) -> None:
        # WaitingTasks has its own window: as many workers are said as give the one that is asked for.
        claimed = max(1, round(self.cluster.workers * self.cluster.window / WINDOW))
        while job := self._waiting.next(claimed):
            self._server = max(self._server, now) + self.cluster.overhead
            self._at(self._server, "arrival", 0, job=job)
        self.outcome.most = max(self.outcome.most, self._waiting.flying)

    def _place(self, now: float, job: Job) -> None:
        while self._free:
            count, number = heapq.heappop(self._free)
            worker = self._workers[number]
            if worker.alive and len(worker.held) == count:
                worker.held.append(job)
                heapq.heappush(self._free, (count + 1, number))
                if count == 0:
                    self._begin(now, number)
                return
        self._homeless.append(job)

    def _begin(self, now: float, number: int) -> None:
        worker = self._workers[number]
        worker.began = now
        self._at(now + worker.held[0].task.cost, "end", number)

    def _end(self, now: float, number: int) -> None:
        worker = self._workers[number]
        job = worker.held.pop(0)
        heapq.heappush(self._free, (len(worker.held), number))
        if worker.held:
            self._begin(now, number)
        self._server = max(self._server, now) + self.cluster.overhead / 2  # the result; the order had the other half
        self._at(self._server, "result", number, job=job)

    def _die(self, now: float, number: int) -> None:
        worker, outcome = self._workers[number], self.outcome
        outcome.deaths += 1
        outcome.wasted += now - worker.began if worker.held else 0.0
        held, worker.held, worker.alive, worker.life = worker.held, [], False, worker.life + 1
        for job in held:
            self._blame[job.key] = self._blame.get(job.key, 0) + 1
            if self._blame[job.key] > ALLOWED_FAILURES:
                outcome.killed += 1
                outcome.failed += self._waiting.killed(job)
                self._fill(now)
            else:
                self._place(now, job)
        self._at(now + RESTART, "birth", number)

    def _lifetime(self) -> float:
        return self._chance.expovariate(1 / self.cluster.lifetime)

    def _at(self, when: float, kind: str, number: int, job: Job | None = None) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, kind, number, self._workers[number].life, job))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=20, help="for each worker")
    parser.add_argument("--overhead", type=float, default=2.0, help="milliseconds of client and scheduler for a task")
    parser.add_argument("--lifetime", type=float, nargs="*", default=[0.0, 4.0, 1.0], help="mean hours until a worker dies; 0: none does")
    parser.add_argument("--seconds", type=float, nargs="*", default=[1.0, 10.0, 60.0, 600.0], help="of a task, on average")
    parser.add_argument("--window", type=int, nargs="*", default=[1, 2], help="tasks in flight for each worker")
    given = parser.parse_args(arguments)
    table = Table("seconds of a task", "in flight", "lives, hours", "efficiency", "in vain", "deaths", "killed", "units failed", "minutes")
    for seconds in given.seconds:
        for window in given.window:
            for hours in given.lifetime:
                cluster = Cluster(given.workers, seconds, given.tasks, given.overhead / 1000, hours * 3600, window)
                outcome = Simulation(cluster).run()
                capacity = outcome.seconds * cluster.workers
                lives = f"{hours:g}" if hours else "no deaths"
                shares = (f"{share / capacity:.1%}" for share in (outcome.useful, outcome.wasted))
                counts = map(str, (outcome.deaths, outcome.killed, outcome.failed))
                table.add_row(f"{seconds:g}", str(window), lives, *shares, *counts, f"{outcome.seconds / 60:.1f}")
    print(f"{given.workers} workers, {given.tasks} tasks for each, {given.overhead:g} ms of client and scheduler for a task")
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
