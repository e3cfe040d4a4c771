"""Choosing who makes a study's runs."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dreamopt.errors import DreamoptError
from dreamopt.study.execution import RunMaker
from dreamopt.study.folder import StudyFolder
from dreamopt.study.machine import cores, processor
from dreamopt.study.networks import StudyNetworks
from dreamopt.study.run import Run
from dreamopt.study.runner import SerialWorkers, Workers
from dreamopt.study.workers.processes import DiedError, ProcessWorkers
from dreamopt.study.workers.tasks import MeasureRate, Setup
from dreamopt.study.workers.throughput import Throughput, measure_throughput, threads_of_each

BATCH = 8
"""Runs that a GPU makes together."""
_WORTH = 90.0
"""Seconds of a study below which nothing is tried: starting processes takes longer than they gain."""
_NOTE = "throughput"
_LOOK = 0.2  # seconds


@dataclass(frozen=True)
class Staff:
    """Who makes runs.

    Parameters
    ----------
    workers : Workers
        For `dreamopt.study.runner.execute_runs`.
    batch : int
        How many runs are made together.
    why : str
        One sentence: how many processes, and by what they were chosen.
    """

    workers: Workers
    batch: int
    why: str


@contextlib.contextmanager
def staffed(
    run: Run,
    count: int,
    networks: StudyNetworks,
    folder: StudyFolder,
    processes: int | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[Staff]:
    """Give who makes a study's runs; processes end with the block.

    Parameters
    ----------
    run : Run
        One of the study, of its first net.
    count : int
        About how many there are.
    networks : StudyNetworks
        The nets.
    folder : StudyFolder
        Open; a choice that was measured is noted there, so that a study that goes on has the same number of threads.
    processes : int, optional
        How many; by default it is measured.
    say : callable, optional
        Gets the sentence of `Staff.why` before the first run.

    Raises
    ------
    UsageError
        For a net that cannot be loaded.
    """
    network = networks.network(run.net)
    device, own = network.device.type, _part_of_script(folder)
    if own is not None or (device != "cpu" and processes is None):
        processes = 1
    throughput = _throughput(run, count, networks, folder) if processes is None else _said(processes)
    why = str(throughput) if device == "cpu" else f"runs are made in batches of up to {BATCH} on {network.device}"
    why += "" if own is None else f": {own}, which no other process can import"
    if say is not None:
        say(why)
    batch = 1 if device == "cpu" else BATCH
    machine = {"processes": throughput.processes}
    if throughput.processes == 1:
        yield Staff(SerialWorkers(RunMaker(networks, machine)), batch, why)
        return
    with ProcessWorkers(Setup(networks, throughput.threads, machine), throughput.processes) as workers:
        yield Staff(workers, batch, why)


def _part_of_script(folder: StudyFolder) -> str | None:
    """Return in words why a study's settings cannot be sent to another process; None where they can."""
    for contestant in (*folder.request.contestants, folder.request.reference):
        try:
            if b"__main__" in pickle.dumps(contestant.settings):
                return f"a part of the contestant '{contestant.name}' is of the running script"
        except Exception:  # whatever a part of somebody's own raises
            return f"the contestant '{contestant.name}' has a part that pickle does not take"
    return None


def _said(processes: int) -> Throughput:
    return Throughput(processes, threads_of_each(cores(), processes), {})


def _throughput(run: Run, count: int, networks: StudyNetworks, folder: StudyFolder) -> Throughput:
    noted = folder.notes.get(_NOTE)
    here = {"cpu": processor(), "cores": cores()}
    if isinstance(noted, dict) and noted.get("machine") == here and noted.get("processes") in range(1, cores() + 1):
        return _said(noted["processes"])
    if cores() == 1:
        return _said(1)
    try:
        maker = RunMaker(networks)
        MeasureRate(run, 0).do(maker)
        rate = MeasureRate(run, _LOOK).do(maker).evaluations
        seconds = count * run.budget.amount / (rate if run.budget.kind == "evals" and rate else 1)
        throughput = _said(1) if seconds < _WORTH else measure_throughput(run, networks, cores())
    except (DreamoptError, DiedError):  # a run itself says what is wrong
        return _said(1)
    folder.note(_NOTE, {**throughput.describe(), "machine": here})
    return throughput
