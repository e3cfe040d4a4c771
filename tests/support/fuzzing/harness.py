"""Mutated files for all readers in processes of their own: what they do wrong, and the files with which they do."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.fuzzing.worker import SECONDS
from tests.support.readers import READERS

REPOSITORY = Path(__file__).resolve().parents[3]
START_SECONDS = 180
"""The longest that a process may take until it is ready."""
MODULE = "tests.support.fuzzing.worker"
"""What the processes run."""
CHUNK = 50
"""Cases of one reader that a process reads one after the other."""


@dataclass(frozen=True)
class Case:
    """A mutated file, by its reader and its number, or a file that is there already."""

    reader: str
    number: int = 0
    seed: int = 0
    path: Path | None = None

    def request(self) -> dict[str, Any]:
        """Return what the worker is asked for."""
        if self.path is not None:
            return {"reader": self.reader, "path": str(self.path)}
        return {"reader": self.reader, "seed": self.seed, "number": self.number}


@dataclass
class Report:
    """What came of all cases.

    Attributes
    ----------
    results : dict
        For each reader how many files were read, refused, or failed.
    faults : list of (Case, fault, answer)
        All that went wrong; a case may stand there twice.
    slowest : (seconds, Case)
    """

    results: dict[str, dict[str, int]] = field(default_factory=dict)
    faults: list[tuple[Case, str, dict[str, Any]]] = field(default_factory=list)
    slowest: tuple[float, Case | None] = (0.0, None)

    def add(self, case: Case, answer: dict[str, Any]) -> None:
        """Count an answer."""
        counts = self.results.setdefault(case.reader, {"read": 0, "refused": 0, "failed": 0})
        counts[answer["result"]] += 1
        self.faults += [(case, fault, answer) for fault in answer.get("faults", ())]
        self.slowest = max(self.slowest, (answer.get("seconds", 0.0), case), key=lambda both: both[0])

    def kinds(self) -> dict[str, list[tuple[Case, str, dict[str, Any]]]]:
        """Return the faults by reader, fault and place, the most frequent first."""
        grouped: dict[str, list[tuple[Case, str, dict[str, Any]]]] = {}
        for case, fault, answer in self.faults:
            place = answer.get("where", "")
            grouped.setdefault(f"{case.reader}: {fault[:100]} {place}".strip(), []).append((case, fault, answer))
        return dict(sorted(grouped.items(), key=lambda item: -len(item[1])))


class Worker:
    """A process that reads cases; it is started anew after one that ended it."""

    def __init__(self, scratch: Path, readers: Sequence[str]) -> None:
        self._scratch, self._readers = scratch, readers
        self._process: subprocess.Popen[str] | None = None

    def ask(self, case: Case) -> dict[str, Any]:
        """Return how a case ended."""
        process = self._running()
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(case.request()) + "\n")
            process.stdin.flush()
        answer = self._answer(SECONDS)
        if answer is None:
            stacks = (self._folder / "stacks").read_text(encoding="utf-8", errors="replace")
            how = f"crash: exit status {process.wait()}" if self._ended else f"hang: above {SECONDS} s"
            answer = {"result": "failed", "faults": [how], "trace": stacks[-4000:], "seconds": float(SECONDS)}
            self.stop(keep=True)
        elif answer.get("spent"):
            self.stop(keep=True)
        return answer

    def file(self, case: Case) -> Path | None:
        """Return the file of the last case."""
        if case.path is not None:
            return case.path
        return next(iter(sorted(self._folder.glob("reader*/**/*-changed*"), key=lambda path: path.stat().st_mtime, reverse=True)), None)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._folder = Path(tempfile.mkdtemp(dir=self._scratch))
            temporary = self._folder / "tmp"
            temporary.mkdir()
            variables = {
                "OMP_NUM_THREADS": "1",
                "TMPDIR": str(temporary),
                "XDG_CACHE_HOME": str(self._folder / "cache"),
                "PYTHONPATH": os.pathsep.join((str(REPOSITORY), os.environ.get("PYTHONPATH", ""))),
            }
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(self._folder), *self._readers],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                cwd=REPOSITORY,
                env=os.environ | variables,
                start_new_session=True,
            )
            if self._answer(START_SECONDS) is None:
                self.stop(keep=True)
                printed = (
                    (self._folder / "printed").read_text(encoding="utf-8", errors="replace") if (self._folder / "printed").exists() else ""
                )
                raise RuntimeError(f"the process of readers does not start: {printed[-3000:]}")
        return self._process

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else ""
        self._ended = bool(ready) and not line
        return json.loads(line) if line.endswith("\n") else None

    def stop(self, keep: bool = False) -> None:
        """End the process and what it started, and remove its folder unless it is to be looked at."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None
            if not keep:
                shutil.rmtree(self._folder, ignore_errors=True)


def spread(count: int, readers: Sequence[str], seed: int) -> list[list[Case]]:
    """Return so many cases over all readers, in pieces; pieces of the readers take turns."""
    each = {name: count // len(readers) + (place < count % len(readers)) for place, name in enumerate(readers)}
    pieces = []
    for start in range(0, max(each.values()), CHUNK):
        for name, most in each.items():
            cases = [Case(name, number, seed) for number in range(start, min(most, start + CHUNK))]
            pieces += [cases] if cases else []
    return pieces


def fuzz(
    pieces: Sequence[Sequence[Case]], out: Path | None, workers: int = 2, advance: Callable[[Case], object] = lambda case: None
) -> Report:
    """Read all cases.

    Parameters
    ----------
    pieces : sequence of sequences of Case
        Each is read by one process.
    out : Path, optional
        A folder for the files of faults, each with a text that says what it did.
    workers : int
        How many processes.
    advance : callable
        Called after each case.
    """
    waiting: queue.SimpleQueue[Sequence[Case]] = queue.SimpleQueue()
    for piece in pieces:
        waiting.put(piece)
    readers = sorted({case.reader for piece in pieces for case in piece}, key=list(READERS).index)
    report, lock, problems = Report(), threading.Lock(), []

    def work(scratch: Path) -> None:
        worker = Worker(scratch, readers)
        try:
            for case in _waiting(waiting):
                answer = worker.ask(case)
                with lock:
                    report.add(case, answer)
                    if out is not None and answer.get("faults"):
                        _keep(out, case, answer, worker.file(case))
                    advance(case)
        except Exception as problem:  # a thread's end is silent
            problems.append(problem)
        finally:
            worker.stop()

    with tempfile.TemporaryDirectory() as folder:
        threads = [threading.Thread(target=work, args=(Path(folder),)) for _ in range(min(workers, len(pieces)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if problems:
        raise problems[0]
    return report


def _waiting(pieces: queue.SimpleQueue[Sequence[Case]]) -> Iterator[Case]:
    with contextlib.suppress(queue.Empty):
        while True:
            yield from pieces.get_nowait()


def _keep(out: Path, case: Case, answer: dict[str, Any], path: Path | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    place = out / f"{''.join(c if c.isalnum() else '-' for c in case.reader)}-{case.seed}-{case.number}"
    lines = [*answer["faults"], answer.get("text", ""), answer.get("where", ""), answer.get("trace", "")]
    if path is not None and path.exists():
        copy = place.with_name(place.name + "".join(path.suffixes[-2:]))
        shutil.copy(path, copy)
        lines.append(f"again: python -m tools.fuzz --reader '{case.reader}' --file {copy}")
    place.with_name(place.name + ".fault.txt").write_text("\n".join(lines), encoding="utf-8", errors="backslashreplace")
