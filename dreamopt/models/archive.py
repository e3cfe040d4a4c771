"""One member of a zip archive, unpacked within a limit; the archive may be anybody's."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import BinaryIO

LARGEST_DIRECTORY = 16 * 2**20
"""Bytes of a zip's directory that are read; a gigabyte of directory would take many of memory."""
CHUNK = 1 << 20
_ENCRYPTED = 1
_FAULTS = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError),
    *(ArithmeticError, LookupError, RuntimeError, ValueError),
)
"""What `zipfile` raises for damaged archives; NotImplementedError is a RuntimeError."""


class ArchiveError(Exception):
    """An archive that does not give the member, in a sentence."""


class _Bounded:
    """A file to `zipfile`, which reads a directory of any length at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1) -> bytes:
        if size > LARGEST_DIRECTORY:
            raise zipfile.BadZipFile(f"its directory has {size} bytes, and at most {LARGEST_DIRECTORY} are read")
        return self._stream.read(LARGEST_DIRECTORY if size < 0 else size)


def unpack(archive: BinaryIO, member: str, target: BinaryIO, size: int | None, most: int) -> None:
    """Write a member of an archive to a file, from where that file stands.

    Parameters
    ----------
    archive : binary stream
        The zip.
    member : str
        The name inside it.
    target : binary stream
        Where it goes.
    size : int or None
        The member's published size; the archive's directory must say the same.
    most : int
        The most bytes to write where no size was published.

    Raises
    ------
    ArchiveError
        For an archive that is damaged, encrypted or packed in a way that is not read, and a member that is missing or of another size.
    """
    try:
        with zipfile.ZipFile(_Bounded(archive)) as packed:
            info = packed.getinfo(member)
            _check(info, size, most)
            # zipfile stops at the size that it has checked, and compares the checksum there.
            with packed.open(info) as source:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
    except KeyError as error:
        raise ArchiveError(f"the archive does not hold {member}") from error
    except _FAULTS as error:
        raise ArchiveError(f"the archive does not hold {member} in one piece: {error or type(error).__name__}") from error


def _check(info: zipfile.ZipInfo, size: int | None, most: int) -> None:
    if info.is_dir():
        raise ArchiveError(f"{info.filename} is a folder of the archive")
    if info.flag_bits & _ENCRYPTED:
        raise ArchiveError(f"{info.filename} is encrypted in the archive")
    # bzip2 and lzma give gigabytes for a few bytes at once.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArchiveError(f"{info.filename} is compressed by method {info.compress_type} of zip, and only 0 and 8 (deflate) are read")
    if size is not None and info.file_size != size:
        raise ArchiveError(f"{info.filename} has {info.file_size} bytes in the archive where {size} were published")
    if info.file_size > most:
        raise ArchiveError(f"{info.filename} has {info.file_size} bytes in the archive, and at most {most} are unpacked")
