"""A text in a JPEG file: comments (COM segments), as many as it needs, read without decoding the pixels."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from dreamopt.errors import ImageError
from dreamopt.parts.reading import open_regular

_START, _SCAN, _COMMENT = b"\xff\xd8", b"\xff\xda", b"\xff\xfe"
_APPLICATION = tuple(bytes((0xFF, 0xE0 + number)) for number in range(16))
_LONGEST = 65000
"""Bytes of a segment's text; the format lets a segment have 65,533."""
_MOST_SEGMENTS = 100_000


def with_text(jpeg: bytes, keyword: str, text: str) -> bytes:
    """Return a JPEG file with a text, each part of it behind the keyword in a comment of its own.

    Parameters
    ----------
    jpeg : bytes
        The file, as a program writes it.
    keyword : str
        ASCII; tells these comments from others.
    text : str
        ASCII, of any length.
    """
    place = 2
    while jpeg[place : place + 2] in _APPLICATION:  # JFIF and the profile come first
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    mark, content, comments = f"{keyword} ".encode("ascii"), text.encode("ascii"), b""
    for start in range(0, len(content), _LONGEST):
        part = mark + content[start : start + _LONGEST]
        comments += _COMMENT + struct.pack(">H", len(part) + 2) + part
    return jpeg[:place] + comments + jpeg[place:]


def is_jpeg(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as a JPEG does; ImageError where it cannot be read."""
    with open_regular(path, "the image", ImageError) as stream:
        return stream.read(3) == _START + b"\xff"


def read_jpeg_text(path: str | os.PathLike[str], keyword: str, most: int) -> str | None:
    """Return the text that `with_text` put into a JPEG file; None where there is none.

    Raises
    ------
    ImageError
        For a file that cannot be read or is damaged before its pixels, and for a text of more than ``most`` bytes.
    """
    mark, found, length = f"{keyword} ".encode("ascii"), list[bytes](), 0
    with open_regular(path, "the image", ImageError) as stream:
        for part in _comments(stream, os.fspath(path)):
            if part.startswith(mark):
                length += len(part) - len(mark)
                if length > most:
                    raise ImageError(f"the text '{keyword}' of {os.fspath(path)} has more than {most} bytes, which is the limit.")
                found.append(part[len(mark) :])
    return b"".join(found).decode("ascii", "replace") if found else None


def _comments(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield the comments before a JPEG's pixels."""
    if stream.read(2) != _START:
        return
    for _ in range(_MOST_SEGMENTS):
        head = stream.read(4)
        if len(head) < 4 or head[:2] == _SCAN or head[0] != 0xFF:
            return
        size = int.from_bytes(head[2:], "big") - 2
        if size < 0:
            raise ImageError(f"{name} is damaged: a segment has no length.")
        if head[:2] == _COMMENT:
            yield stream.read(size)
        else:
            stream.seek(size, os.SEEK_CUR)
    raise ImageError(f"{name} has more than {_MOST_SEGMENTS} segments.")
