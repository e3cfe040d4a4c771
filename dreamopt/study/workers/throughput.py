"""How many processes make the most runs in a second on this machine: tried for a moment each, not guessed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamopt.parts.memory import free_memory
from dreamopt.study.execution import RunMaker
from dreamopt.study.networks import StudyNetworks
from dreamopt.study.run import Run
from dreamopt.study.workers.processes import ChildProcess
from dreamopt.study.workers.tasks import MeasureRate, Rate, Setup

_SECONDS = 1.5
"""How long each number of processes is tried."""
_CLEARLY = 1.05
"""What more processes have to gain: each takes memory of its own."""
_SHARE = 0.8  # of the free memory


@dataclass(frozen=True)
class Throughput:
    """The number of processes that was chosen, and by what.

    Parameters
    ----------
    processes, threads : int
        How many, and of each.
    rates : mapping of int to float
        By each number of processes that was tried, the evaluations of all together in a second.
    """

    processes: int
    threads: int
    rates: Mapping[int, float]

    def describe(self) -> dict[str, Any]:
        """Return it fit for JSON."""
        rates = {str(count): float(f"{rate:.4g}") for count, rate in self.rates.items()}
        return {"processes": self.processes, "threads": self.threads, "evaluations_per_second": rates}

    def __str__(self) -> str:
        """Return one sentence."""
        processes = f"{self.processes} processes" if self.processes > 1 else "one process"
        tried = ", ".join(f"{rate:.3g} with {count}" for count, rate in sorted(self.rates.items()))
        return f"runs are made in {processes}" + (f" (evaluations a second: {tried})" if tried else "")


def counts_to_try(cores: int) -> list[int]:
    """Return numbers of processes: one, one for each core, and doublings between.

    >>> counts_to_try(2), counts_to_try(12), counts_to_try(1)
    ([1, 2], [1, 2, 4, 8, 12], [1])
    """
    doublings = [2**k for k in range(cores.bit_length()) if 2**k < cores]
    return [*doublings, cores]


def threads_of_each(cores: int, processes: int) -> int:
    """Return how many threads each process gets."""
    return max(1, cores // processes)


def measure_throughput(run: Run, networks: StudyNetworks, cores: int, seconds: float = _SECONDS) -> Throughput:
    """Try numbers of processes on a run's problem, and return the one with the most evaluations in a second.

    Parameters
    ----------
    run : Run
        Of the study's first net.
    networks : StudyNetworks
        The words that load it.
    cores : int
        To be shared.
    seconds : float
        For which each number is tried.
    """
    rates: dict[int, float] = {}
    for count in counts_to_try(cores):
        threads = threads_of_each(cores, count)
        alone = RunMaker(networks) if count == 1 else None
        several = list(_rates(run, networks, count, threads, seconds, alone))
        rates[count] = sum(rate.evaluations for rate in several)
        taken, free = max(rate.memory for rate in several), free_memory()
        if free is not None and 2 * count * taken > _SHARE * (free + taken):
            break
    return Throughput(best := chosen(rates), threads_of_each(cores, best), rates)


def chosen(rates: Mapping[int, float]) -> int:
    """Return the number of processes with the highest rate; the smaller of two that are about equally fast.

    >>> chosen({1: 10.0, 2: 10.3, 4: 12.0}), chosen({1: 10.0, 2: 10.3})
    (4, 1)
    """
    highest = max(rates.values())
    return min(count for count, rate in rates.items() if rate * _CLEARLY >= highest)


def _rates(run: Run, networks: StudyNetworks, count: int, threads: int, seconds: float, alone: RunMaker | None) -> Iterator[Rate]:
    """Yield the rates of processes that work at the same time."""
    if alone is not None:  # this process, as it makes runs if it is chosen
        MeasureRate(run, 0).do(alone)
        yield MeasureRate(run, seconds).do(alone)
        return
    children = [ChildProcess(Setup(networks, threads, {})) for _ in range(count)]
    try:
        _all(children, MeasureRate(run, 0))
        yield from _all(children, MeasureRate(run, seconds))
    finally:
        for child in children:
            child.end()


def _all(children: Sequence[ChildProcess], task: MeasureRate) -> list[Rate]:
    answers: list[Rate | BaseException] = []

    def ask(child: ChildProcess) -> None:
        try:
            answers.append(child.do(task))
        except BaseException as problem:  # it belongs to the caller
            answers.append(problem)

    threads = [threading.Thread(target=ask, args=(child,), daemon=True) for child in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if isinstance(answer, Rate)]
