"""Real Caffe in another Python, started by a command and asked over its pipes.

The worker may die at any time, since Caffe aborts the process on a failed check. Then its standard error says why.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import select
import shlex
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from importlib import resources
from typing import IO, Any

from dreamopt.backends.base import START_TIMEOUT
from dreamopt.backends.caffe.connection import Answer, Array, CaffeAbortedError, Header, WorkerLostError, pack, raise_for, unpack
from dreamopt.backends.caffe.worker import LAYER_MARK, MAGIC
from dreamopt.errors import BackendError, UsageError

# One line without line breaks or anything that a wrapper might change; the program follows on standard input. Python puts the current
# folder ("") before all others here, and what lies there under a module's name is nobody's that the user named.
_BOOTSTRAP = "import sys;sys.path[:]=filter(None,sys.path);exec(eval(sys.stdin.readline()))"
_FATAL = re.compile(r"^F\d{4,8} [\d:.]+ +\d+ (\S+:\d+)\] (.*)", re.MULTILINE)
_CREATING = re.compile(r"\] Creating [Ll]ayer (.*)$|^" + LAYER_MARK + "(.*)$", re.MULTILINE)
_PARSER = re.compile(r"^\[libprotobuf ERROR [^\]]*\] (.*)$", re.MULTILINE)
_SCRATCH = re.compile(r"\S*/dreamopt-caffe-\w+/net\.prototxt")
_LOG_TAIL = 2**18
_JUNK = 2**16  # bytes that a wrapper may print before the worker speaks
_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh")


class Remote:
    """The worker in a process of its own.

    Parameters
    ----------
    python : str or sequence of str
        A command that starts a Python with Caffe and numpy; a string is split as a shell would.
    device : int or str
        A GPU's number, ``"cpu"`` or ``"auto"``.
    timeout : float
        Seconds after which an answer is not waited for any more.
    start_timeout : float
        The same for Python to start, and for Caffe to be imported then; at most ``timeout``.

    Raises
    ------
    UsageError
        For no command, or one that drops the words that are added to it.
    BackendError
        If the command does not start a Python with a Caffe that can do this.
    """

    name = "remote"
    shares_files = False

    def __init__(self, python: str | Sequence[str], device: int | str, timeout: float, start_timeout: float = START_TIMEOUT) -> None:
        try:
            self.command = shlex.split(python) if isinstance(python, str) else [os.fspath(part) for part in python]
        except ValueError as error:
            raise UsageError(f"python is {python!r}, which is no command: {error}") from None
        if not self.command:
            raise UsageError("python is an empty command; give what starts a Python with Caffe, such as 'chroot /srv/caffe python3'")
        for name, limit in (("timeout", timeout), ("start_timeout", start_timeout)):
            if not limit > 0:
                raise UsageError(f"{name} is {limit:g} s, but has to be above 0")
        _require_words_passed_on(self.command)
        self.where = f"'{shlex.join(self.command)}'"
        self._device = device
        self._timeout = timeout
        self._start_timeout = min(start_timeout, timeout)
        self._started = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[Any, Any] | None = None
        self.hello = self._start()

    @property
    def pid(self) -> int | None:
        """The process that was started, while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def generation(self) -> int:
        """How many workers were started; starts one if none runs."""
        if self._process is None or self._process.poll() is not None:
            self.hello = self._start()
        return self._started

    def ask(self, header: Header, arrays: Sequence[Array] = ()) -> Answer:
        """Send a request and wait for its answer."""
        return self._ask(header, arrays, self._timeout)

    def _ask(self, header: Header, arrays: Sequence[Array], timeout: float) -> Answer:
        process = self._process
        if process is None:
            raise WorkerLostError(f"{self.where} is not running")
        self._log.seek(0)
        self._log.truncate()
        deadline = time.monotonic() + timeout
        try:
            for part in pack(header, arrays):
                _write(process, part, deadline)
            head = _read(process, _size(process, deadline), deadline)
            answer, found = unpack(head, _read(process, _size(process, deadline), deadline))
        except TimeoutError:
            self.close()
            raise WorkerLostError(f"{self.where} gave no answer for {timeout:g} s") from None
        except (EOFError, BrokenPipeError):
            self._dead()
        except BaseException:
            self.close()  # interrupted half-way: what is in the pipe belongs to no request any more
            raise
        if "error" in answer:
            raise_for(answer["kind"], answer["error"], self.where)
        return answer, found

    def close(self) -> None:
        """End the worker."""
        if self._end is not None:
            self._end()
        self._process = self._end = None

    def _start(self) -> dict[str, object]:
        self.close()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        bootstrap = shlex.quote(_BOOTSTRAP) if os.path.basename(self.command[0]) == "ssh" else _BOOTSTRAP  # ssh asks a shell
        try:
            process = subprocess.Popen(
                [*self.command, "-c", bootstrap], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, bufsize=0
            )
        except OSError as problem:
            self._log.close()
            why = f"{problem.strerror}: {problem.filename}"
            raise BackendError(f"{self.where} cannot be started ({why}); name a Python with Caffe") from problem
        self._process, self._end = process, weakref.finalize(self, _finish, process, self._log)
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        deadline = time.monotonic() + self._start_timeout
        program = resources.files("dreamopt.backends.caffe").joinpath("worker.py").read_text(encoding="ascii")
        heard = b""
        try:
            _write(process, json.dumps(program).encode("ascii") + b"\n", deadline)
            while not heard.endswith(MAGIC) and len(heard) < _JUNK:
                heard += _read(process, 1, deadline)
        except (EOFError, BrokenPipeError, TimeoutError) as problem:
            late = isinstance(problem, TimeoutError)
            status = "" if late else _status(process)
            said = (heard.decode(errors="replace") + "\n" + self._said()).strip().splitlines()
            self.close()
            if not late:
                raise BackendError(
                    f"{self.where} starts no Python with numpy: it ended {status}{': ' + said[-1] if said else ''}"
                ) from None
            printed = f"printed {said[-1]!r}" if said else "printed nothing"
            raise BackendError(
                f"{self.where} started no Python within {self._start_timeout:g} s (it {printed}): the command has to pass on standard input"
                " and two more words, -c and a line of Python; load_net(start_timeout=...) waits longer"
            ) from None
        if not heard.endswith(MAGIC):
            self.close()
            raise BackendError(f"{self.where} starts no Python: it printed {heard[:60]!r}")
        self._started += 1
        try:
            return self._ask({"op": "hello", "device": self._device, "trust": False}, (), self._start_timeout)[0]
        except WorkerLostError as problem:
            raise BackendError(f"{problem}, asked to import Caffe") from None
        except BackendError as problem:
            words = None if self._process is None else _FATAL.search(self._said())
            self.close()
            raise BackendError(f"{problem} ({words[2]})" if words else str(problem)) from None

    def _dead(self) -> None:
        assert self._process is not None
        status = _status(self._process)
        said = self._said()
        self.close()
        fatal = _FATAL.search(said)
        if fatal is None:
            last = [line for line in said.strip().splitlines() if not re.match(r"[IW]\d{4,8} ", line) and LAYER_MARK not in line]
            raise WorkerLostError(f"{self.where} ended {status}{': ' + last[-1] if last else ''}")
        layers = _CREATING.findall(said[: fatal.start()])
        layer = "".join(layers[-1]) if layers else ""
        parser = _PARSER.findall(said[: fatal.start()])
        words = " ".join(said[fatal.start(2) :].split("*** Check failure", 1)[0].split())
        words = _SCRATCH.sub("the net", "; ".join([*parser, words]))
        raise CaffeAbortedError(f"Caffe aborted{f' in layer {layer!r}' if layer else ''}: {words} ({fatal[1]}, in {self.where})", layer)

    def _said(self) -> str:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - _LOG_TAIL))
        return self._log.read().decode(errors="replace")


def _require_words_passed_on(command: Sequence[str]) -> None:
    """Refuse a shell's line that drops the words behind it: the Python that it starts would wait for a program for ever."""
    if os.path.basename(command[0]) == "ssh":  # whose shell reads all words anew
        return
    for i, (shell, option) in enumerate(itertools.pairwise(command)):
        if os.path.basename(shell) in _SHELLS and re.fullmatch("-[a-z]*c", option) and i + 2 < len(command):
            line, last = command[i + 2], i + 3 == len(command)
            rest_alone = ("$@" in line or "$*" in line) and "$0" not in line and "$1" not in line
            if "$" not in line or (last and rest_alone):  # the first word behind the line is its $0
                raise UsageError(
                    f"{shlex.join(command)!r} drops the words that are added to it (-c and a line of Python); let the shell pass them on,"
                    f""" as in {shell} {option} 'exec python3 "$@"' {os.path.basename(shell)}"""
                )


def _finish(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.close()
    process.kill()
    process.wait()
    log.close()


def _status(process: subprocess.Popen[bytes]) -> str:
    try:
        status = process.wait(5)
    except subprocess.TimeoutExpired:
        return "its output"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(-status).name}"
    return f"with status {status}"


def _write(process: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
    assert process.stdin is not None
    view, fd = memoryview(data), process.stdin.fileno()
    while view:
        _wait(fd, select.POLLOUT, deadline)
        with contextlib.suppress(BlockingIOError):
            view = view[os.write(fd, view[: 2**20]) :]


def _read(process: subprocess.Popen[bytes], size: int, deadline: float) -> bytearray:
    assert process.stdout is not None
    data, fd = bytearray(size), process.stdout.fileno()
    view = memoryview(data)
    while view:
        _wait(fd, select.POLLIN, deadline)
        got = os.readv(fd, [view])
        if got == 0:
            raise EOFError
        view = view[got:]
    return data


def _size(process: subprocess.Popen[bytes], deadline: float) -> int:
    return int.from_bytes(_read(process, 8, deadline), "little")


def _wait(fd: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(fd, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError
