"""One owner of a folder at a time: a lock that the system releases when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from dreamopt.parts.folders import MadeFolders

try:
    import fcntl
except ImportError:  # Windows has none: there two renders of one output are the user's own affair
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"
"""Name of the file."""
_BUSY = {errno.EWOULDBLOCK, errno.EACCES}


class FolderLock:
    """The lock of a folder, a file in it that is held open.

    Parameters
    ----------
    folder : Path
        Made where it is missing, with those above it.

    Examples
    --------
    >>> import tempfile
    >>> first, second = (FolderLock(Path(tempfile.gettempdir()) / "dreamopt-lock-example") for _ in range(2))
    >>> first.acquire(), second.acquire()
    (True, False)
    >>> first.release(remove=True), second.acquire()
    (None, True)
    >>> second.release(remove=True)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number: int | None = None
        self._made = MadeFolders(folder)

    def acquire(self) -> bool:
        """Make the folder and take its lock; return whether it is ours now.

        Raises
        ------
        OSError
            When the folder or the file cannot be made.
        """
        path = self.folder / LOCK
        self._made = MadeFolders(self.folder)
        while True:
            self._made.make()
            try:
                number = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            except FileNotFoundError:
                if self.folder.is_dir():
                    raise
                continue  # its last owner has just removed the folder
            try:
                if fcntl is not None:
                    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_file(number, path):
                    self._number = number
                    return True
            except OSError as error:
                if error.errno in _BUSY:
                    os.close(number)
                    return False
                self._number = number  # a file system without locks
                return True
            os.close(number)  # its last owner has just removed it: not the file that others lock

    def release(self, *, remove: bool = False) -> None:
        """Let others have the folder; with ``remove`` its lock goes, and the folder too if nothing else is in it.

        Then those above it that were made for it go, too, as far as they are empty.
        """
        if self._number is None:
            return
        number, self._number = self._number, None
        try:
            if remove:
                with contextlib.suppress(OSError):  # what is left of a lock locks nobody out
                    (self.folder / LOCK).unlink(missing_ok=True)
                    self.folder.rmdir()
        finally:
            os.close(number)
        if remove:
            self._made.remove_empty()


def _is_file(number: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(number), os.stat(path))
    except FileNotFoundError:
        return False
