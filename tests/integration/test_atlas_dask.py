"""The cluster: real processes of Dask that are killed, added and lost while they work."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import shutil
import signal
import socket
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dreamopt
from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.schedulers.cluster import KILLED, Cluster, Patience
from dreamopt.atlas.schedulers.dask import Connection
from dreamopt.atlas.task import Outcome, Task
from dreamopt.errors import BackendError, UsageError
from tests.support.brought_files import BroughtFiles, hash_of_the_net
from tests.support.cluster_tasks import PATIENCE, Machines, NoNet, killer, machines, tasks_of, times_done, worker_processes, written_down

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Dask leaves connections of processes that are gone
NET: Any = NoNet()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def cluster(address: str | None = None, workers: int = 0, **options: Any) -> Cluster:
    made = Cluster(address, workers, **options)
    made._compute = written_down
    return made


def units_of(outcomes: list[Outcome]) -> list[int]:
    return sorted(unit for outcome in outcomes for unit in outcome.records)


@pytest.fixture(autouse=True)
def _sockets_that_dask_left() -> Iterator[None]:
    """Collect them before a test of another file is blamed for them."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def cluster_of_two() -> Iterator[Machines]:
    with machines(free_port(), 2) as started:
        yield started


@pytest.mark.slow
def test_workers_are_killed_and_added(cluster_of_two: Machines, tmp_path: Path) -> None:
    batches = [(3 * k, 3 * k + 1, 3 * k + 2) for k in range(24)]
    first = cluster_of_two.start_workers(1)
    log = tmp_path / "log"
    outcomes = []
    with cluster(cluster_of_two.address) as scheduler:
        for outcome in scheduler.run(tasks_of(log, batches, seconds=0.2), NET):
            outcomes.append(outcome)
            if len(outcomes) == 4:
                for process in worker_processes(first):
                    os.kill(process, signal.SIGKILL)
                cluster_of_two.start_workers(1)
    assert units_of(outcomes) == list(range(72))
    for outcome in outcomes:
        assert {unit: record.values["square"] for unit, record in outcome.records.items()} == {unit: unit**2 for unit in outcome.task.units}
    assert sum(times_done(log).values()) <= 72 + 2 * 3  # only what the killed one had is done again


@pytest.mark.slow
def test_a_batch_that_is_killed_on_four_workers_in_turn_ends_in_smaller_ones(cluster_of_two: Machines, tmp_path: Path) -> None:
    batches = [(0, 1, 2, 3), (11,), *((20 + k,) for k in range(6))]
    log, said = tmp_path / "log", []
    with cluster(cluster_of_two.address, say=said.append) as scheduler, killer(log, cluster_of_two) as killed:
        tasks = tasks_of(log, batches, deadly=[11], deadly_together=[0, 1, 2, 3])
        outcomes = list(scheduler.run(tasks, NET))
    assert units_of(outcomes) == [0, 1, 2, 3, *range(20, 26)]
    failed = {unit: reason for outcome in outcomes for unit, reason in outcome.failed.items()}
    assert failed == {11: KILLED}
    assert len({process for process, _ in killed}) == len(killed)
    # Fewer where it waited on a worker that another batch's kill ended: Dask counts that as well.
    assert 1 <= [units for _, units in killed].count((0, 1, 2, 3)) <= 4
    assert [units for _, units in killed].count((11,)) >= 4
    halves = [outcome.task.units for outcome in outcomes if set(outcome.task.units) <= {0, 1, 2, 3}]
    assert (0, 1, 2, 3) not in halves
    assert any("smaller parts" in sentence for sentence in said)


@pytest.mark.slow
def test_a_scheduler_is_killed_and_comes_back(tmp_path: Path) -> None:
    port, log, said = free_port(), tmp_path / "log", []
    batches = [(2 * k, 2 * k + 1) for k in range(16)]
    with machines(port, 2) as there, cluster(there.address, say=said.append, patience=Patience(100, 0.2, 5.0)) as scheduler:
        outcomes, before = [], []
        for outcome in scheduler.run(tasks_of(log, batches, seconds=0.1), NET):
            outcomes.append(outcome)
            if len(outcomes) == 5:
                before = units_of(outcomes)
                there.kill_scheduler()
                there.start_scheduler()
                there.start_workers(2)
    assert units_of(outcomes) == list(range(32))
    assert {unit: count for unit, count in times_done(log).items() if unit in before} == dict.fromkeys(before, 1)
    assert any("is back" in sentence for sentence in said)


@pytest.mark.slow
def test_a_scheduler_that_stays_away_is_said(tmp_path: Path) -> None:
    with machines(free_port(), 1) as there, cluster(there.address, patience=Patience(2, 0.1, 5.0)) as scheduler:
        run = scheduler.run(tasks_of(tmp_path / "log", [(k,) for k in range(8)], seconds=0.2), NET)
        next(run)
        there.kill_scheduler()
        with pytest.raises(BackendError, match=r"is lost and did not come back within 2 tries; what is finished is kept"):
            list(run)


def test_closing_takes_back_what_waits(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with cluster(workers=1) as scheduler:
        run = scheduler.run(tasks_of(log, [(k,) for k in range(20000)], seconds=0.05), NET)
        first = list(itertools.islice(run, 3))
        began = time.monotonic()
        run.close()
        assert time.monotonic() - began < PATIENCE / 4
        assert scheduler._connection is None  # own processes are ended
    assert len(first) == 3
    assert sum(times_done(log).values()) < 20


def test_an_atlas_by_processes_has_the_bits_of_one(tmp_path: Path) -> None:
    options = {"layers": ["conv2/scale", "scores"], "units": 3, "size": 24, "steps": 2, "variants": 2, "minus": True, "pieces": ["image"]}
    net = dreamopt.load_net()
    folders = [tmp_path / "alone", tmp_path / "several"]
    for folder, workers in zip(folders, (0, 2), strict=True):
        dreamopt.make_atlas(net, folder, **options, workers=workers, load={"net": None}, site=False)
    alone, several = ({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")} for folder in folders)
    assert len(list(folders[0].glob("images/*/*.png"))) == 2 * 3 * 4
    assert alone.keys() == several.keys()
    assert [path for path in alone if alone[path] != several[path]] == []


@pytest.mark.slow
def test_files_of_the_net_are_brought_where_they_are_not(tmp_path: Path) -> None:
    data = Path(str(dreamopt.__file__)).parent / "data"
    here = {name: str(shutil.copy(data / f"tiny.{kind}", tmp_path)) for name, kind in (("net", "prototxt"), ("weights", "caffemodel"))}
    net = dreamopt.load_net(here["net"], here["weights"])
    nets = NetFiles.of(net, here)
    elsewhere = BroughtFiles(nets.words, nets.files, nets.weights_sha256, folder=str(tmp_path / "brought"))
    elsewhere.remember()
    for path in here.values():
        os.unlink(path)
    task = Task("image", "conv1/scale", (3,), {}, ("a",))
    with Cluster(workers=1) as scheduler:
        scheduler._compute = hash_of_the_net
        [outcome] = scheduler.run([task], elsewhere)
    assert outcome.records[3].values == {"hash": net.hash()}
    assert sorted(path.name for path in (tmp_path / "brought").rglob("tiny.*")) == ["tiny.caffemodel", "tiny.prototxt"]


def test_a_net_that_nobody_can_load_again_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="other processes cannot open this net"):
        dreamopt.make_atlas(
            dreamopt.load_net(), tmp_path / "atlas", layers=["conv1"], units=1, size=20, steps=1, pieces=["image"], workers=1, site=False
        )


def test_own_processes_are_talked_to_by_no_port_that_others_know() -> None:
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # where it is taken already, all the better
            taken.bind(("127.0.0.1", 8787))  # where schedulers of Dask listen for browsers
            taken.listen()
        connection = Connection(workers=1)
        try:
            port = connection._cluster.scheduler.http_server.port
            assert port != 8787
            for path in ("/", "/info/main/workers.html", "/json/identity.json", "/api/v1/retire_workers"):
                with pytest.raises(urllib.error.HTTPError, match="404") as refused:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30)
                refused.value.close()
        finally:
            connection.close()


def test_one_address_or_processes_of_its_own() -> None:
    for arguments in ({}, {"address": "tcp://127.0.0.1:1", "workers": 2}):
        with pytest.raises(UsageError, match="either the address of a scheduler or a number"):
            Cluster(**arguments)
    with (
        cluster("tcp://127.0.0.1:1", patience=Patience(1, 0.0, 0.5)) as scheduler,
        pytest.raises(BackendError, match="no scheduler of Dask answers"),
    ):
        list(scheduler.run(tasks_of(Path("log"), [(1,)]), NET))
