"""The files of a download in the cache: its part file and its lock, never through a link, and a way on where something else is there."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_FLAGS = os.O_RDWR | os.O_CREAT | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"))


@contextlib.contextmanager
def open_scratch(path: Path) -> Iterator[BinaryIO]:
    """Open a file of the program's own to read and write, at its beginning; made where it is missing.

    A link (also a second name of another file), a named pipe or a device in its place is removed, never followed or written to, and a
    folder is moved to ``NAME.old``.

    Raises
    ------
    OSError
        When it cannot be opened.
    """
    if not _is_own(path):
        put_away(path)
    number = os.open(path, _FLAGS, 0o666)
    with os.fdopen(number, "r+b") as stream:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:  # it was put there just now
            raise FileExistsError(None, "something else was put in its place meanwhile")
        yield stream


def size_of(path: Path) -> int:
    """Return the size of a file of the program's own; 0 where there is none."""
    return path.lstat().st_size if os.path.lexists(path) and _is_own(path) else 0


def put_away(*paths: Path) -> None:
    """Remove files and links, and move folders aside; what is missing is no fault."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(path.lstat().st_mode):
                os.replace(path, _free(path))
            else:
                path.unlink()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock beside a file, so that two processes never write the same partial download; the lock's file goes with it."""
    lock = path.with_name(path.name + ".lock")
    while True:
        with open_scratch(lock) as stream:
            try:
                import fcntl
            except ImportError:  # not POSIX: the checksum still catches a mixed file
                yield
                return
            fcntl.flock(stream, fcntl.LOCK_EX)
            if not _is_at(stream, lock):  # its last owner has just removed it: it is not the file that others lock
                continue
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    lock.unlink()
            return


def _is_at(stream: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _is_own(path: Path) -> bool:
    """Return whether a plain file with one name is there, or nothing."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _free(path: Path) -> Path:
    number = 1
    while os.path.lexists(free := path.with_name(f"{path.name}.old{'' if number == 1 else number}")):
        number += 1
    return free
