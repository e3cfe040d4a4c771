"""Several processes that make runs, each with its share of the cores and with the nets loaded once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import IO, Any, Self, cast

from dreamopt.parts.child_environment import child_environment
from dreamopt.study.execution import RunOutput, Stop, failed
from dreamopt.study.runner import Batch
from dreamopt.study.workers.channel import receive, send
from dreamopt.study.workers.child import BEFORE
from dreamopt.study.workers.tasks import MakeRuns, Setup, Task

_ASKED = 0.2  # seconds between two looks at whether to stop
_PATIENCE = 5.0  # seconds for a process to end by itself


class DiedError(Exception):
    """A process that ended in the middle of a task; the message says how."""


class ChildProcess:
    """One process, started when it is first needed, and again after it has died.

    Parameters
    ----------
    setup : Setup
        What it needs once.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None
        self._lock = threading.Lock()
        self._killed = False

    def do(self, task: Task) -> Any:
        """Return what a task gave.

        Raises
        ------
        DiedError
            If the process ended before it had answered.
        Exception
            Of the task's own.
        """
        try:
            process = self._started() if self._process is None else self._process
            send(cast("IO[bytes]", process.stdin), task)
            reply = receive(cast("IO[bytes]", process.stdout))
        except (EOFError, OSError):
            raise DiedError(self._how_it_ended()) from None
        if isinstance(reply, Exception):
            raise reply
        return reply

    def kill(self) -> None:
        """End the process at once, and start no other."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()

    def end(self) -> None:
        """Let the process end, and wait for it."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            cast("IO[bytes]", process.stdin).close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        cast("IO[bytes]", process.stdout).close()
        if self._complaints is not None:
            self._complaints.close()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._killed:
                raise EOFError
            self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", "-m", "dreamopt.study.workers.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                env={**child_environment(self._setup.threads), BEFORE: os.environ.get("PYTHONPATH", "")},
            )
        send(cast("IO[bytes]", process.stdin), self._setup)
        return process

    def _how_it_ended(self) -> str:
        process, complaints = self._process, b""
        if process is None:
            return "the process could not be started"
        try:
            status = process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        if self._complaints is not None:
            self._complaints.seek(0)
            complaints = self._complaints.read()[-2000:]
        self.end()
        if status == -getattr(signal, "SIGKILL", 9):
            return "its process was killed (signal 9), as systems do where memory is lacking"
        last = complaints.decode("utf-8", "replace").strip().rpartition("\n")[2]
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"its process {how}{f': {last}' if last and status > 0 else ''}"


class ProcessWorkers:
    """Makes runs in several processes.

    A process that dies is replaced, and its runs are tried again once, each alone; then they have failed.

    Parameters
    ----------
    setup : Setup
        What each needs once; ``threads`` are those of each.
    count : int
        How many.
    """

    def __init__(self, setup: Setup, count: int) -> None:
        setup = replace(setup, machine={**setup.machine, "processes": count})
        self.children = [ChildProcess(setup) for _ in range(count)]
        self._tasks: SimpleQueue[Batch | None] = SimpleQueue()
        self._results: SimpleQueue[list[RunOutput] | BaseException] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()

    def make(self, batches: Sequence[Batch], stop: Stop = None) -> Iterator[list[RunOutput]]:
        """Yield what batches of runs gave, each as soon as it is done.

        Raises
        ------
        KeyboardInterrupt
            Once ``stop`` returns True; the processes are ended.
        """
        left = sum(len(batch) for batch in batches)
        try:
            if not self._threads:
                self._threads = [threading.Thread(target=self._serve, args=(child,), daemon=True) for child in self.children]
                for thread in self._threads:
                    thread.start()
            for batch in batches:
                self._tasks.put(batch)
            while left:
                outputs = self._next(stop)
                left -= len(outputs)
                yield outputs
        finally:
            if left:
                self.close(at_once=True)

    def close(self, at_once: bool = False) -> None:
        """End the processes; ``at_once`` in the middle of what they do."""
        self._closing.set()
        with contextlib.suppress(Empty):
            while True:
                self._tasks.get_nowait()
        for child in self.children:
            if at_once:
                child.kill()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        for child in self.children:
            child.end()
        self._threads = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(at_once=kind is not None)

    def _next(self, stop: Stop) -> list[RunOutput]:
        while True:
            if stop is not None and stop():
                raise KeyboardInterrupt
            with contextlib.suppress(Empty):
                result = self._results.get(timeout=_ASKED)
                if isinstance(result, BaseException):
                    raise result
                return result

    def _serve(self, child: ChildProcess) -> None:
        while (batch := self._tasks.get()) is not None:
            try:
                outputs = self._outputs(child, batch)
            except BaseException as problem:  # it belongs to the main thread
                self._results.put(problem)
                continue
            if outputs is None:  # closing
                return
            self._results.put(outputs)

    def _outputs(self, child: ChildProcess, batch: Batch) -> list[RunOutput] | None:
        try:
            outputs: list[RunOutput] = child.do(MakeRuns(batch))
            return outputs
        except DiedError:
            if self._closing.is_set():
                return None
        outputs = []
        for run in batch:
            try:
                outputs += child.do(MakeRuns((run,)))
            except DiedError as problem:
                if self._closing.is_set():
                    return None
                outputs.append(RunOutput(failed(run, f"{problem}, twice")))
        return outputs
