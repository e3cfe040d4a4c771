"""Python programs as copies (forks) of one process that has imported what takes long: their start would take longer than they do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType

PROGRAM = """
import gc, importlib, json, os, runpy, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
gc.freeze()
for line in sys.stdin:
    job = json.loads(line)
    process = os.fork()
    if process == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
else:
    sys.exit()
os.chdir(job["folder"])
for number, (path, mode) in enumerate([(os.devnull, os.O_RDONLY), *((path, os.O_WRONLY) for path in job["outputs"])]):
    os.dup2(os.open(path, mode), number)
if job["words"][0] == "-m":
    sys.argv, sys.path[0] = job["words"][1:], os.getcwd()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    sys.argv = job["words"]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Warm:
    """A process that has started, of which each program is a copy; one at a time.

    Parameters
    ----------
    modules : sequence of str
        What it imports before.
    options : sequence of str
        Python's own, as ``-W error``.
    environment : mapping of str to str or None
        What else stands in the environment; None takes it out.
    """

    def __init__(
        self, modules: Sequence[str], options: Sequence[str] = (), environment: Mapping[str, str | None] = MappingProxyType({})
    ) -> None:
        # One thread: a copy has no other than the one that made it.
        whole = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **environment}
        there = {name: value for name, value in whole.items() if value is not None}
        command = [sys.executable, *options, "-c", PROGRAM, *modules]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=there)

    def run(self, words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a program, the first word or ``-m`` and a module, in a folder, to whose files ``stdout`` and ``stderr`` its outputs go, and wait for its end."""
        outputs = [folder / name for name in ("stdout", "stderr")]
        for path in outputs:
            path.write_bytes(b"")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(
            json.dumps({"words": list(words), "folder": str(folder), "outputs": [str(path) for path in outputs]}),
            file=self._process.stdin,
            flush=True,
        )
        status = self._process.stdout.readline()
        assert status, "the process that others are copies of has ended"
        stdout, stderr = (path.read_text(encoding="utf-8") for path in outputs)
        return subprocess.CompletedProcess(list(words), int(status), stdout, stderr)

    def __enter__(self) -> Warm:
        return self

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
