"""Writing a file whole or not at all: under a temporary name in its folder first, and renamed when it is on the disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dreamopt.errors import ImageError
from dreamopt.parts.folders import MadeFolders

LONGEST_NAME = 255
"""Bytes of a file's name that the usual file systems take."""


@contextlib.contextmanager
def atomic_write(path: str | Path, scratch: str | Path | None = None, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name only when it is whole.

    On any exception, KeyboardInterrupt included, the temporary file is removed and an earlier file of that name stays as it was. Once
    the block has ended, the file is on the disk (fsync of the file, and where there is one of its folder).

    Parameters
    ----------
    path : str or Path
        The final name; its folder must exist.
    scratch : str or Path, optional
        The temporary name, in the same folder, where the caller knows that nobody else writes this file: what a process that was
        killed left there is overwritten. Default: a name that no file has.
    durable : bool
        False for files that can be made again, of which there are thousands: nothing waits for the disk, and after the machine itself
        has lost its power such a file may be empty.

    Yields
    ------
    binary file

    Raises
    ------
    OSError
        When the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "steps.txt"
    >>> with atomic_write(path) as stream:
    ...     written = stream.write(b"256")
    ...     path.exists()
    False
    >>> path.read_bytes()
    b'256'
    """
    with atomic_path(path, scratch, durable) as temporary, open(temporary, "wb") as stream:
        yield stream


@contextlib.contextmanager
def output_file(path: str | Path, scratch: str | Path | None = None, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a file as `atomic_write` does, its folder made where there is none; ImageError where it cannot be written."""
    made = MadeFolders(Path(path).parent)
    try:
        made.make()
        with atomic_write(path, scratch, durable) as stream:
            yield stream
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        made.remove_empty()


@contextlib.contextmanager
def atomic_path(path: str | Path, scratch: str | Path | None = None, durable: bool = True) -> Iterator[Path]:
    """Give the temporary name of `atomic_write`, for a writer that opens its file itself; parameters as there."""
    final = Path(path)
    if final.is_dir():
        raise IsADirectoryError(None, "it is a folder")
    temporary = final.with_name(scratch_name(final.name, secrets.token_hex(4))) if scratch is None else Path(scratch)
    try:
        yield temporary
        if durable:
            _to_disk(temporary, os.O_RDWR)
        os.replace(temporary, final)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:  # the file is there; a file system that cannot do this for a folder keeps it all the same
        with contextlib.suppress(OSError):
            _to_disk(final.parent, os.O_RDONLY)


def scratch_name(name: str, mark: str) -> str:
    """Return a hidden temporary name for a file of a name; ``mark`` keeps two writers apart.

    >>> scratch_name("cat.png", "7f")
    '.cat.png.7f.tmp'
    """
    return bounded(f".{name}", LONGEST_NAME - len(os.fsencode(f".{mark}.tmp"))) + f".{mark}.tmp"


def bounded(name: str, longest: int) -> str:
    """Return a name of at most so many bytes, at least 17; the end of a longer one is replaced by a hash of the whole.

    >>> bounded("conv2-3", 20), bounded("conv2-" + "3" * 20, 20)
    ('conv2-3', 'con-469d1fd50bd3b13b')
    """
    encoded = os.fsencode(name)
    if len(encoded) <= longest:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return encoded[: longest - 17].decode("utf-8", "ignore") + f"-{digest}"


def _to_disk(path: Path, flags: int) -> None:
    number = os.open(path, flags)
    try:
        os.fsync(number)
    finally:
        os.close(number)
