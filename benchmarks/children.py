"""What is measured in a process of its own: its CPU seconds and, by the process itself, the most memory that it has held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]


class Finished(NamedTuple):
    """A process that has ended.

    Parameters
    ----------
    cpu : float
        Seconds of all its threads, of the system's work for it too.
    wall : float
        Seconds from its start to its end.
    status : int
        Its exit status.
    """

    cpu: float
    wall: float
    status: int


def finish(command: Sequence[str]) -> Finished:
    """Run a command in the repository, its output left unread."""
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        # Of this child alone, unlike RUSAGE_CHILDREN.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return Finished(usage.ru_utime + usage.ru_stime, time.perf_counter() - started, child.returncode)


def answer(program: str, *arguments: object) -> Any:
    """Return what a program of Python writes, as JSON, in its last line; it can import ``tests.support``.

    Raises
    ------
    RuntimeError
        If it fails, with the end of what it said.
    """
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    if done.returncode:
        raise RuntimeError(f"a child ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
