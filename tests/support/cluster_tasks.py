"""Tasks for tests of a cluster: done in no time, without a net, and written down as often as they are done.

Processes of the cluster import this file, so it imports nothing that takes long.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dreamopt.atlas.task import Outcome, Record, Task, content_key
from dreamopt.parts.child_environment import child_environment

PATIENCE = 120.0
"""Seconds for what takes one on a machine of its own."""


@dataclass(frozen=True)
class NoNet:
    """Stands for the files of a net where none is needed."""

    travels: bool = True

    def fetching(self, fetch: Any, folder: str = "") -> NoNet:
        return self

    def network(self) -> None:
        return None

    def content(self, sha256: str) -> bytes:
        raise AssertionError(sha256)


def tasks_of(log: Path, batches: list[tuple[int, ...]], **settings: Any) -> list[Task]:
    """Return tasks of units that write into a file what was done."""
    settings = {"log": str(log), **settings}
    return [
        Task("image", "conv1", units, settings, tuple(content_key(unit=unit, log=str(log)) for unit in units), cost=len(units))
        for units in batches
    ]


def written_down(task: Task, nets: Any) -> Outcome:
    """Compute a task: ``deadly`` units wait for a `killer`, ``seconds`` are waited, what was done is one line of the file ``log``."""
    deadly, whole = task.settings.get("deadly", ()), task.settings.get("deadly_together", ())
    if set(deadly) & set(task.units) or tuple(whole) == task.units:
        victim = Path(task.settings["log"]).with_name(f"victim-{os.getpid()}")
        victim.with_name("." + victim.name).write_text(json.dumps(task.units))
        victim.with_name("." + victim.name).rename(victim)
        time.sleep(PATIENCE)
    time.sleep(task.settings.get("seconds", 0.0))
    with open(task.settings["log"], "ab", buffering=0) as stream:
        stream.write(b"".join(b"%d\n" % unit for unit in task.units))
    return Outcome(task, {unit: Record({"square": unit * unit}, {f"images/conv1/{unit}.png": bytes([unit % 251])}) for unit in task.units})


@contextmanager
def killer(log: Path, cluster: Machines) -> Iterator[list[tuple[int, tuple[int, ...]]]]:
    """Kill the processes in which deadly tasks wait, while the block runs; yield the list of those killed, with the units they had.

    The program that started them starts others, and ends where one is killed too early; another is started then, as a cluster's manager does.
    """
    killed: list[tuple[int, tuple[int, ...]]] = []
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(0.02):
            for victim in log.parent.glob("victim-*"):
                process, units = int(victim.name.partition("-")[2]), tuple(json.loads(victim.read_text()))
                victim.unlink()
                with suppress(ProcessLookupError):  # it ended with the program that started it
                    os.kill(process, signal.SIGKILL)
                    killed.append((process, units))
            cluster.replace_ended_workers()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


def times_done(log: Path) -> Counter[int]:
    """Return how often each unit was done."""
    return Counter(map(int, log.read_text().split())) if log.exists() else Counter()


@dataclass
class Machines:
    """A scheduler and workers of Dask in processes of their own, as somebody would start them on a cluster."""

    port: int
    stack: ExitStack = field(default_factory=ExitStack)
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[tuple[subprocess.Popen[bytes], int, tuple[str, ...]]] = field(default_factory=list)
    """The programs that start workers, each with how many, and its options."""

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        self.scheduler = self._start("dask_scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.1)
        raise AssertionError("the scheduler does not start")

    def kill_scheduler(self) -> None:
        assert self.scheduler is not None
        os.killpg(self.scheduler.pid, signal.SIGKILL)
        self.scheduler.wait()

    def start_workers(self, count: int, *options: str) -> subprocess.Popen[bytes]:
        process = self._start(
            "dask_worker", self.address, "--nworkers", str(count), "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", *options
        )
        self.workers.append((process, count, options))
        return process

    def replace_ended_workers(self) -> None:
        for one in [one for one in self.workers if one[0].poll() is not None]:
            self.workers.remove(one)
            self.start_workers(one[1], *one[2])

    def _start(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"distributed.cli.{program}", *options],
            env=child_environment(1),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.stack.callback(end, process)
        return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def machines(port: int, workers: int, *options: str) -> Iterator[Machines]:
    """Start a scheduler and workers; all are ended with the block."""
    started = Machines(port)
    with started.stack:
        started.start_scheduler()
        started.start_workers(workers, *options)
        yield started


def worker_processes(of: subprocess.Popen[bytes]) -> list[int]:
    """Return the ids of the processes that a worker command started: those that compute, not Python's own helper."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            words = (folder / "cmdline").read_bytes()
            if int(status[1]) == of.pid and b"spawn_main" in words:
                found.append(int(folder.name))
    return found
