"""Runs a command in forks of a warm process, with its k-th change of the disk failing, torn by a kill, or interrupted.

``python -m tests.support.faults FOLDER FAULT WORD...`` runs ``dreamopt WORD...`` for every k until the command ends, resumes each, and
prints one line of JSON for each k.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import functools
import gc
import io
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FAULTS = ("error", "full", "kill", "interrupt")
"""An I/O error once; a disk that is full from then on; kill -9, in the middle of a write; Ctrl-C."""
_TAKES_ROOM = {"open", "mkdir", "write", "fsync"}


class Disk:
    """Counts the changes of the disk that Python makes, and lets one fail.

    Parameters
    ----------
    fault : {"error", "full", "kill", "interrupt"}
    at : int
        Which change, from 1; 0 for none.
    """

    def __init__(self, fault: str, at: int) -> None:
        self.fault, self.at, self.count = fault, at, 0
        self.first: str | None = None
        self.kinds: set[str] = set()

    def change(self, what: str) -> None:
        """Count a change, before it is made; make the fault if it is its turn."""
        self.count += 1
        self.kinds.add(what)
        if self.at == 0 or self.count < self.at or (self.count > self.at and (self.fault != "full" or what not in _TAKES_ROOM)):
            return
        if self.count == self.at:
            self.first = what
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "interrupt":
            raise KeyboardInterrupt
        number = errno.ENOSPC if self.fault == "full" else errno.EIO
        raise OSError(number, os.strerror(number))

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch what is written as long as the block runs."""
        before = {(module, name): getattr(module, name) for module, name in _patched()}
        for name in ("mkdir", "rmdir", "rename", "replace", "unlink", "remove"):
            setattr(os, name, self._counted(name, getattr(os, name)))
        os.fsync = self._counted("fsync", lambda number: None)  # slow, and kill -9 does not ask for it
        os.open = self._os_open(os.open)  # type: ignore[assignment]
        io.open = builtins.open = self._open(io.open)  # type: ignore[assignment]
        try:
            yield
        finally:
            for (module, name), function in before.items():
                setattr(module, name, function)

    def _counted(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.change(what)
            return function(*args, **options)

        return call

    def _os_open(self, function: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, *args: Any, **options: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.change("open")
            return function(path, flags, *args, **options)

        return call

    def _open(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            if not set(mode) & set("wax+") or file == os.devnull:
                return function(file, mode, *args, **options)
            assert "b" in mode, f"{file} is written as text"
            if not isinstance(file, int):
                self.change("open")
            return io.BufferedWriter(_Raw(self, file, mode.replace("b", "")))

        return call


class _Raw(io.FileIO):
    def __init__(self, disk: Disk, file: Any, mode: str) -> None:
        super().__init__(file, mode)
        self.disk = disk

    def write(self, data: Any) -> int:
        if self.disk.count + 1 == self.disk.at:
            super().write(memoryview(data)[: len(data) // 2])
        self.disk.change("write")
        return super().write(data)


def _patched() -> list[tuple[Any, str]]:
    names = ("mkdir", "rmdir", "rename", "replace", "unlink", "remove", "fsync", "open")
    return [*((os, name) for name in names), (io, "open"), (builtins, "open")]


def run(folder: Path, words: list[str], disk: Disk) -> dict[str, Any]:
    """Run ``dreamopt`` in a folder, in a fork; return its exit code (-9 if killed), its stderr, its changes, and the first that failed."""
    (folder / ".." / "out").resolve().unlink(missing_ok=True)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.close(reader)
            os.chdir(folder)
            number = os.open(folder.parent / "out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(number, 1)
            os.dup2(number, 2)
            from dreamopt.cli import cli

            try:
                with disk.watched():
                    cli.main(args=words, prog_name="dreamopt")
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0
        except BaseException:
            traceback.print_exc()
            code = 70
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os.write(writer, json.dumps({"changes": disk.count, "failed": disk.first, "kinds": sorted(disk.kinds)}).encode())
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = json.loads(stream.read() or b"{}")
    _, status = os.waitpid(child, 0)
    printed = (folder.parent / "out").read_text(errors="replace")
    return {"code": os.waitstatus_to_exitcode(status), "printed": printed, "changes": None, "failed": None} | answer


def files(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder, hidden ones and folders (as b"") too, by relative name."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


def main(root: Path, fault: str, words: list[str]) -> None:
    """Print what becomes of every k.

    Only a kill comes at every k, unless DREAMOPT_FAULTS is "all": a full disk comes at the even ones, other errors and Ctrl-C at the odd.
    """
    import torch

    from dreamopt.cli import cli, render, top

    torch.set_num_threads(1)
    # Loaded once; what it reads is not what is tested here.
    render.open_network = top.open_network = functools.cache(render.open_network)
    warm = root / "warm"
    warm.mkdir()
    os.chdir(warm)
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):
        cli.main(args=words, prog_name="dreamopt")
    gc.collect()
    gc.freeze()  # or each fork would copy what it looks through
    whole = root / "whole"
    whole.mkdir()
    reference = run(whole, words, Disk(fault, 0))
    assert reference["code"] == 0, reference["printed"]
    expected = files(whole)
    print(json.dumps({"changes": reference["changes"], "kinds": reference["kinds"], "files": sorted(expected)}), flush=True)
    step = 1 if fault == "kill" or os.environ.get("DREAMOPT_FAULTS") == "all" else 2
    for at in range(2 if fault == "full" and step == 2 else 1, reference["changes"] + 1, step):
        folder = root / "faulty"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        broken = run(folder, words, Disk(fault, at))
        after = files(folder)
        images = {name: content for name, content in after.items() if name in expected and content}
        line: dict[str, Any] = {"at": at, "failed": broken["failed"], "code": broken["code"], "printed": broken["printed"][-400:]}
        line["before"] = sorted(after)
        line["whole"] = sorted(name for name, content in images.items() if content == expected[name])
        line["other"] = sorted(name for name, content in images.items() if content != expected[name])
        written = {name: (folder / name).stat().st_ino for name in line["whole"]}
        resumed = run(folder, [*words, "--resume"], Disk(fault, 0))
        line["resumed"], line["resume_printed"] = resumed["code"], resumed["printed"][-400:]
        line["same"] = files(folder) == expected
        line["rewritten"] = sorted(name for name, inode in written.items() if (folder / name).stat().st_ino != inode)
        line["after"] = sorted(files(folder))
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
