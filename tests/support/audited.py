"""A program that reads files under an audit hook, and prints as JSON what they made it do beyond reading what was named.

``python -m tests.support.audited OUTSIDE INSIDE READER FILE READER FILE ...``: the files lie in INSIDE, the only folder that may be written to; nothing in OUTSIDE
may be looked at; programs, sockets, pickles, and modules from elsewhere than Python's and the packages' folders are reported wherever they are.
READER is a name of `tests.support.readers`, or ``command`` for ``dreamopt replay``.
"""

from __future__ import annotations

import builtins
import json
import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "os.fork", "os.forkpty", "pty.spawn")
NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "urllib.Request")
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "os.utime")
LISTS = ("os.listdir", "os.scandir", "glob.glob", "glob.glob/2")
LOOKS = ("stat", "lstat", "access", "readlink", "statvfs")
"""Functions of `os` that no audit event tells of."""


class Audit:
    """What is seen while it is on.

    Parameters
    ----------
    outside, inside : Path
        The folder that nothing may look into, and the one that may be written to.
    """

    def __init__(self, outside: Path, inside: Path) -> None:
        shared = [path for path in sys.path if path and Path(path) not in (inside, Path.cwd())]
        folders = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")} | set(site.getsitepackages())
        self.outside, self.inside = str(outside), str(inside)
        self.code = tuple(os.path.realpath(path) for path in (*folders, *shared, ROOT, sys.prefix))
        self.child = str(ROOT / "dreamopt" / "schema" / "hdf5_child.py")
        self.torch = os.path.join(tempfile.gettempdir(), "torchinductor_")  # a folder that torch makes for itself
        self.scratch = tempfile.gettempdir()  # opened itself: a file without a name; asked for here, since it takes a lock
        self.seen: list[str] = []
        self.on = False

    def event(self, event: str, args: tuple[Any, ...]) -> None:
        """Look at an audit event."""
        if not self.on:
            return
        self.on = False  # what is done here is not the file's doing
        try:
            self._look(event, args)
        finally:
            self.on = True

    def _look(self, event: str, args: tuple[Any, ...]) -> None:
        if event in PROGRAMS:
            # h5py reads in a process of our own: this program and no other.
            if event != "subprocess.Popen" or list(args[1][:3]) != [sys.executable, "-I", self.child]:
                self.seen.append(f"{event} {args[:2]}")
        elif event in NETWORK or event == "pickle.find_class":
            self.seen.append(f"{event} {args[1:]}")
        elif event in CHANGES:
            self.seen += [
                f"{event} {path}" for path in map(_text, args[: 2 if event in ("os.rename", "os.link") else 1]) if not self._may_write(path)
            ]
        elif event in LISTS and _text(args[0]).startswith(self.outside):
            self.seen.append(f"{event} {args[0]}")
        elif event == "open" and not isinstance(args[0], int):
            path, flags = _text(args[0]), args[2]
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND))
            if path.startswith(self.outside) or (writes and not self._may_write(path)):
                self.seen.append(f"open {path} {args[1:]}")
            elif not (self._is_code(path) or self._may_write(path) or path.startswith(("/proc", "/sys", "/dev/"))):
                self.seen.append(f"open {path}, which nobody named")

    def look(self, name: str, path: object) -> None:
        """Look at a call of one of `LOOKS`."""
        if self.on and isinstance(path, str | bytes | os.PathLike) and _text(path).startswith(self.outside):
            self.seen.append(f"os.{name} {_text(path)}")

    def modules(self, before: set[str]) -> None:
        """Look at the modules that came since."""
        for name in sorted(set(sys.modules) - before):
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and not self._is_code(os.path.realpath(file)):
                self.seen.append(f"import {name} from {file}")

    def _is_code(self, path: str) -> bool:
        return os.path.realpath(path).startswith(self.code) and not path.startswith(self.inside)

    def _may_write(self, path: str) -> bool:
        return path.startswith((self.inside, self.torch)) or path in (os.devnull, self.scratch)


def _text(path: Any) -> str:
    return os.path.abspath(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else str(path)


def _watched(audit: Audit, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def watched(path: Any, *args: Any, **options: Any) -> Any:
        audit.look(name, path)
        return function(path, *args, **options)

    return watched


def _replay(path: Path) -> object:
    """Run ``dreamopt replay`` on the image that has these metadata."""
    import click

    from dreamopt.cli.app import cli
    from dreamopt.errors import DreamoptError
    from tests.support.readers import with_text

    try:
        return cli(["replay", str(with_text(path)), "-q"], standalone_mode=False)
    except click.ClickException as error:
        raise DreamoptError(error.format_message()) from error


def main(outside: str, inside: str, *cases: str) -> None:
    """Read the files, and print for each what was seen and what was said; ``cases`` are readers and files in turns."""
    from dreamopt.__main__ import installed_first
    from dreamopt.errors import DreamoptError
    from tests.support.readers import READERS

    installed_first(sys.path, os.getcwd())
    audit = Audit(Path(outside), Path(inside))
    for function in LOOKS:
        setattr(os, function, _watched(audit, function, getattr(os, function)))
    sys.addaudithook(audit.event)
    answers = []
    for name, file in zip(cases[::2], cases[1::2], strict=True):
        read: Callable[[Path], object] = _replay if name == "command" else READERS[name].read
        said, before, audit.seen, audit.on = "read", set(sys.modules), [], True
        try:
            read(Path(file))
        except DreamoptError as error:
            said = str(error)
        finally:
            audit.on = False
        audit.modules(before)
        answers.append({"seen": audit.seen, "said": said})
    builtins.print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
