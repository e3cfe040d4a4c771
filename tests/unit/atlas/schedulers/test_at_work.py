"""What a worker does beside computing: versions, files in pieces, signs of life."""

from __future__ import annotations

import hashlib
import random
import threading
from typing import Any

import pytest

from dreamopt.atlas.schedulers import at_work
from dreamopt.atlas.schedulers.at_work import Arrivals, Order, SignsOfLife, carry_out, versions
from dreamopt.atlas.schedulers.courier import Courier
from dreamopt.atlas.schedulers.installed import check_installed
from dreamopt.atlas.schedulers.processes import commands, threads_of_each
from dreamopt.atlas.task import Task
from dreamopt.errors import BackendError, UsageError
from tests.support.cluster_tasks import NoNet

TASK = Task("image", "conv1", (3,), {}, ("a",))


class Files:
    """Stands for the net's files: one content, by its hash."""

    def __init__(self, content: bytes) -> None:
        self.stored = content

    def content(self, sha256: str) -> bytes:
        if sha256 != hashlib.sha256(self.stored).hexdigest():
            raise UsageError("the net has no such file")
        return self.stored


class ByHand:
    """Calls functions of `at_work` for one set of arrivals."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals, self.sent = arrivals, 0

    def send(self, worker: str, function: Any, *arguments: Any) -> None:
        self.sent += 1
        getattr(self.arrivals, function.__name__)(*arguments)


@pytest.mark.parametrize("size", [0, 1, 10, 11, 35])
def test_a_file_comes_in_pieces(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_work, "PIECE", 10)
    content, arrivals = random.Random(size).randbytes(size), Arrivals()
    sender, sha256 = ByHand(arrivals), hashlib.sha256(content).hexdigest()
    with Courier(Files(content)) as courier:  # type: ignore[arg-type]
        got = arrivals.fetch(sha256, lambda: courier.take_message({"fetch": sha256, "worker": "w"}, sender))
        assert got == content
        assert sender.sent == max(1, -(-size // 10))
        with pytest.raises(BackendError, match="the net has no such file"):
            arrivals.fetch("another", lambda: courier.take_message({"fetch": "another", "worker": "w"}, sender))


def test_nothing_comes() -> None:
    with pytest.raises(BackendError, match=r"for 0\.01 seconds nothing came"):
        Arrivals().fetch("abc", lambda: None, patience=0.01)


def test_pieces_that_do_not_follow_are_left() -> None:
    arrivals = Arrivals()
    arrivals.receive("abc", 0, b"nobody asked", 12)

    def ask() -> None:
        for start, piece in ((2, b"cd"), (0, b"ab"), (0, b"ab"), (2, b"cd")):
            arrivals.receive("abc", start, piece, 4)

    assert arrivals.fetch("abc", ask) == b"abcd"


def test_signs_of_life_come_until_the_end() -> None:
    count, thrice = [0], threading.Event()

    def send() -> None:
        count[0] += 1
        if count[0] == 3:
            thrice.set()

    with SignsOfLife(send, every=0.01):
        assert thrice.wait(60)
    before = count[0]
    assert before >= 3
    assert at_work.BEAT < 60


@pytest.mark.parametrize("name", ["Python", "dreamopt"])
def test_another_version_is_a_sentence(name: str) -> None:
    order = Order(TASK, NoNet(), lambda task, nets: 1 / 0, None, {**versions(), name: "0.9"})  # type: ignore[arg-type, return-value]
    with pytest.raises(BackendError, match=rf"the worker tcp://w has {name} .* made with 0\.9: install the same there"):
        carry_out(order, "key", "tcp://w", lambda message: None)
    node = {**versions(), "torch": "2.13.0+cpu"}
    check_installed({"the scheduler": {**node, "torch": ""}, "the worker a": node, "the worker b": {**node, "torch": "2.13.0"}})
    others = {f"the worker {k}": {**node, name: "3.9.1"} for k in range(3)}
    with pytest.raises(BackendError, match=rf"the worker 0 \(and 2 more\) has {name} 3\.9\.1, and here"):
        check_installed({"the scheduler": node, **others})


def test_workers_with_different_versions_of_torch_are_refused() -> None:
    node = {**versions(), "torch": "2.13.0+cpu"}
    with pytest.raises(BackendError, match=r"2\.13\.0 \(the worker a\) and 2\.4\.1 \(the worker b\), which give different bits"):
        check_installed({"the worker a": node, "the worker b": {**node, "torch": "2.4.1"}})


def test_one_command_for_all_or_one_a_gpu() -> None:
    [(command, change)] = commands("tls://127.0.0.1:9", 3, "folder", ["--tls-key", "k"])
    assert command[command.index("--nworkers") + 1] == "3"
    assert command[command.index("--nthreads") + 1] == "1"
    assert "-P" in command
    assert not change
    on_gpus = commands("tls://127.0.0.1:9", 3, "folder", gpus=2)
    assert [change["CUDA_VISIBLE_DEVICES"] for _, change in on_gpus] == ["0", "1", "0"]
    assert all(command[command.index("--resources") + 1] == "GPU=1" for command, _ in on_gpus)


def test_threads_as_said_or_a_share() -> None:
    assert threads_of_each(2, {"OMP_NUM_THREADS": "3"}) == 3
    assert threads_of_each(10_000, {}) == 1
    assert threads_of_each(10_000, {"OMP_NUM_THREADS": "no"}) == 1
