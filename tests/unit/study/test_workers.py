"""Several processes: the same rows as one, deaths, mistakes, noise, and the choice of how many."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamopt.image.transform import Transform
from dreamopt.recipes.settings import Settings
from dreamopt.study import machine
from dreamopt.study.clock import Clock
from dreamopt.study.folder import StudyFolder
from dreamopt.study.networks import StudyNetworks
from dreamopt.study.request import Contestant
from dreamopt.study.run import Run
from dreamopt.study.runner import SerialWorkers, execute_runs
from dreamopt.study.workers import choice, throughput
from dreamopt.study.workers.choice import staffed
from dreamopt.study.workers.processes import DiedError, ProcessWorkers
from dreamopt.study.workers.tasks import MeasureRate, Rate, Setup
from dreamopt.study.workers.throughput import Throughput, measure_throughput
from tests.support.study_parts import Deadly, Environment, Loud, Mistaken
from tests.support.study_runs import maker, networks, request_of, run_of, score_runs

REQUEST = request_of()


def with_transform(transform: Transform, seed: int = 0) -> Run:
    return run_of(Settings(size=24, transforms=[transform], jitter=0, seed=seed), budget="2")


@pytest.fixture(scope="module")
def two() -> Iterator[ProcessWorkers]:
    """Two processes for all tests: starting one takes seconds."""
    with ProcessWorkers(Setup(networks(), 1, {}), 2) as several:
        yield several
    assert [child._process for child in several.children] == [None, None]


@pytest.fixture
def workers() -> Iterator[ProcessWorkers]:
    with ProcessWorkers(Setup(networks(), 1, {}), 1) as several:
        yield several


def test_two_processes_make_the_rows_of_one(tmp_path: Path, two: ProcessWorkers) -> None:
    runs = score_runs(REQUEST)
    with StudyFolder(tmp_path / "one", REQUEST) as folder:
        alone = execute_runs(runs, SerialWorkers(maker()), folder)
    with StudyFolder(tmp_path / "two", REQUEST) as folder:
        together = execute_runs(runs, two, folder)
        assert execute_runs([run_of(budget="2")], two, folder)[0].status == "done"  # another round in the same processes
    for one, other in zip(alone, together, strict=True):
        assert (one.key, one.status, one.evaluations, one.measures) == (other.key, other.status, other.evaluations, other.measures)
        assert one.trace.values == other.trace.values
        assert (tmp_path / "one" / one.image).stat().st_size > 0
        assert (other.machine["processes"], other.machine["threads"]) == (2, 1)


def test_children_never_print(tmp_path: Path, two: ProcessWorkers, capfd: pytest.CaptureFixture[str]) -> None:
    with StudyFolder(tmp_path / "out", REQUEST) as folder:
        assert execute_runs([with_transform(Loud())], two, folder)[0].status == "done"
    assert capfd.readouterr() == ("", "")


def test_a_process_that_is_killed_is_replaced(tmp_path: Path, two: ProcessWorkers) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    once.write_text("x")
    twice.write_text("xx")
    runs = [with_transform(Deadly(str(once))), with_transform(Deadly(str(twice))), run_of(budget="2")]
    with StudyFolder(tmp_path / "out", REQUEST) as folder:
        rows = execute_runs(runs, two, folder)
    assert [row.status for row in rows] == ["done", "failed", "done"]
    assert rows[1].reason == "its process was killed (signal 9), as systems do where memory is lacking, twice"


def test_a_child_has_its_threads_and_its_parents_environment(two: ProcessWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    assert two.children[0].do(Environment("OMP_NUM_THREADS")) == "1"
    assert two.children[0].do(Environment("PYTHONPATH")) == os.environ.get("PYTHONPATH", "")


def test_a_gpu_gets_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnGPU:
        device = torch.device("cuda:0")

    monkeypatch.setattr(StudyNetworks, "network", lambda *_: OnGPU())
    with StudyFolder(tmp_path / "out", REQUEST) as folder, staffed(run_of(), 10**7, networks(), folder) as staff:
        assert isinstance(staff.workers, SerialWorkers)
        assert (staff.batch, staff.why) == (8, "runs are made in batches of up to 8 on cuda:0")


def test_the_clock_waits_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    times = iter((1.0, 5.0, 6.0, 8.0))
    clock = Clock(torch.device("cuda:1"), lambda: next(times))
    with clock.stopped() as seconds:
        assert seconds == 4
    assert clock.seconds() == 6
    assert waited == [torch.device("cuda:1")] * 3  # at the start, before it stops, and before it goes on


def test_a_mistake_in_a_child_is_the_parents(tmp_path: Path, workers: ProcessWorkers) -> None:
    with StudyFolder(tmp_path / "out", REQUEST) as folder, pytest.raises(ZeroDivisionError, match="a mistake") as caught:
        execute_runs([with_transform(Mistaken()), *score_runs(REQUEST)], workers, folder)
    assert "study_parts.py" in caught.value.__notes__[0]
    assert [child._process for child in workers.children] == [None]  # ended, and waited for
    assert workers._threads == []


def test_stop_ends_the_processes(tmp_path: Path, workers: ProcessWorkers) -> None:
    ended: list[subprocess.Popen[bytes] | None] = []

    def stop() -> bool:
        ended[:] = [child._process for child in workers.children]
        return ended[0] is not None

    with StudyFolder(tmp_path / "out", REQUEST) as folder, pytest.raises(KeyboardInterrupt):
        execute_runs([run_of(budget="100000")], workers, folder, stop=stop)
    assert ended[0] is not None
    assert ended[0].returncode is not None


def test_throughput_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real processes, for a moment; and what is chosen by given rates."""
    measured = measure_throughput(run_of(), networks(), 2, seconds=0.05)
    assert sorted(measured.rates) == [1, 2]
    assert all(rate > 0 for rate in measured.rates.values())
    rates = {(1, 8): 10.0, (2, 4): 9.0, (4, 2): 12.0, (8, 1): 12.5}

    def given(_: Any, __: Any, count: int, threads: int, *___: Any) -> Iterator[Rate]:
        yield from [Rate(rates[count, threads] / count)] * count

    monkeypatch.setattr(throughput, "_rates", given)
    assert measure_throughput(run_of(), networks(), 8) == Throughput(4, 2, {1: 10.0, 2: 9.0, 4: 12.0, 8: 12.5})
    assert "runs are made in 4 processes (evaluations a second: 10 with 1, 9 with 2, 12 with 4" in str(
        measure_throughput(run_of(), networks(), 8)
    )
    monkeypatch.setattr(throughput, "free_memory", lambda: 1000)
    monkeypatch.setattr(throughput, "_rates", lambda *given: iter([Rate(float(given[2]), 300)] * 1))
    assert list(measure_throughput(run_of(), networks(), 8).rates) == [1, 2]  # four processes of 300 bytes are more than there are


def test_a_rate_counts_views() -> None:
    nets = maker()
    one, four = (MeasureRate(run_of(Settings(size=24, views=views)), 0.05).do(nets) for views in (1, 4))
    assert one.evaluations > 0
    assert one.memory > 2**20
    assert four.evaluations > 0


def test_the_choice_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def measured(run: Run, nets: Any, count: int) -> Throughput:
        calls.append(count)
        return Throughput(2, 1, {1: 3.0, 2: 5.0})

    monkeypatch.setattr(choice, "cores", lambda: 2)
    monkeypatch.setattr(choice, "measure_throughput", measured)
    said: list[str] = []
    with StudyFolder(tmp_path / "out", REQUEST) as folder, staffed(run_of(), 10**7, networks(), folder, say=said.append) as staff:
        assert isinstance(staff.workers, ProcessWorkers)
        assert (len(staff.workers.children), staff.batch) == (2, 1)
    with StudyFolder(tmp_path / "out", REQUEST) as folder, staffed(run_of(), 10**7, networks(), folder) as staff:
        assert isinstance(staff.workers, ProcessWorkers)
    assert calls == [2]
    assert said == ["runs are made in 2 processes (evaluations a second: 3 with 1, 5 with 2)"]
    monkeypatch.setattr(choice, "processor", lambda: "another")
    with StudyFolder(tmp_path / "out", REQUEST) as folder, staffed(run_of(), 10**7, networks(), folder) as staff:
        assert isinstance(staff.workers, ProcessWorkers)
    assert calls == [2, 2]


def test_a_small_study_tries_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "cores", lambda: 2)
    monkeypatch.setattr(choice, "measure_throughput", lambda *_: pytest.fail("tried"))
    with StudyFolder(tmp_path / "out", REQUEST) as folder, staffed(run_of(), 3, networks(), folder) as staff:
        assert isinstance(staff.workers, SerialWorkers)
        assert staff.why == "runs are made in one process"
    with StudyFolder(tmp_path / "out", REQUEST) as folder, staffed(run_of(), 10**7, networks(), folder, processes=3) as staff:
        assert isinstance(staff.workers, ProcessWorkers)
        assert len(staff.workers.children) == 3


def test_parts_of_the_running_script_stay_in_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "cores", lambda: 2)
    monkeypatch.setattr(Loud, "__module__", "__main__")
    monkeypatch.setattr("__main__.Loud", Loud, raising=False)
    request = request_of(Contestant("own", Settings(transforms=[Loud()])), Contestant("adam", Settings()))
    with StudyFolder(tmp_path / "out", request) as folder, staffed(run_of(), 10**7, networks(), folder, processes=2) as staff:
        assert isinstance(staff.workers, SerialWorkers)
        assert staff.why.endswith(": a part of the contestant 'own' is of the running script, which no other process can import")


def test_what_a_child_cannot_read_is_said(workers: ProcessWorkers) -> None:
    class Unreadable:
        def __reduce__(self) -> Any:
            return exec, ("raise AttributeError('no such part')",)

    with pytest.raises(DiedError, match="its process ended with status 1: AttributeError: no such part"):
        workers.children[0].do(Unreadable())  # type: ignore[arg-type]  # what a task of another version would be


def test_cores_are_those_that_may_be_used() -> None:
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)
