"""What a worker does: small, fit for pickle, and the same however often it is done."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

from dreamopt.parts.memory import used_memory
from dreamopt.parts.schedule import StepContext
from dreamopt.recipes import plan_render
from dreamopt.study.execution import RunMaker, RunOutput
from dreamopt.study.networks import StudyNetworks
from dreamopt.study.run import Run


class Task(Protocol):
    """A piece of work that needs the study's nets."""

    def do(self, maker: RunMaker) -> Any:
        """Do it, and return what is fit for pickle."""


@dataclass(frozen=True)
class MakeRuns:
    """Runs that are made together.

    Parameters
    ----------
    runs : tuple of Run
        As of `RunMaker.make`.
    """

    runs: tuple[Run, ...]

    def do(self, maker: RunMaker) -> list[RunOutput]:
        """Make them."""
        return maker.make(self.runs)


@dataclass(frozen=True)
class Rate:
    """How fast a process was.

    Parameters
    ----------
    evaluations : float
        A second.
    memory : int
        Bytes that the process has; 0 where nobody says it.
    """

    evaluations: float
    memory: int = 0


@dataclass(frozen=True)
class MeasureRate:
    """Evaluations of a run's problem, as many as there is time for.

    Parameters
    ----------
    run : Run
        Its last octave or stage counts.
    seconds : float
        How long; 0 makes two, by which all that is made once is made.
    """

    run: Run
    seconds: float

    def do(self, maker: RunMaker) -> Rate:
        """Measure."""
        network = maker.networks.network(self.run.net)
        plan = plan_render(network, [self.run.unit], self.run.settings)
        number = len(plan.stages) - 1
        problem, seed = plan.problem(network, plan.samples, number), self.run.settings.seed
        params, context = problem.start(seed), StepContext(0, 1)
        for _ in range(2):
            problem.evaluate(params, context, seed)
        began, count = time.perf_counter(), 0
        while (passed := time.perf_counter() - began) < self.seconds:
            problem.evaluate(params, context, seed)
            count += problem.views
        return Rate(count / passed if count else 0.0, used_memory(str(network.device)))


@dataclass(frozen=True)
class Setup:
    """What a process needs once.

    Parameters
    ----------
    networks : StudyNetworks
        The words that load the nets.
    threads : int
        Of the process.
    machine : mapping
        What rows say beside what the process knows itself.
    """

    networks: StudyNetworks
    threads: int
    machine: dict[str, Any]

    def maker(self) -> RunMaker:
        """Return what makes runs in this process, with so many threads."""
        import torch

        torch.set_num_threads(self.threads)
        return RunMaker(self.networks, self.machine)
