"""Text chunks of a PNG file, read without decoding its pixels, within limits of size also where they are compressed."""

from __future__ import annotations

import os
import struct
import zlib
from typing import BinaryIO

from dreamopt.errors import ImageError
from dreamopt.parts.reading import open_regular

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KINDS = (b"iTXt", b"tEXt", b"zTXt")
_MOST_CHUNKS = 1_000_000
"""Chunks of a file that are looked at."""


def read_png_text(path: str | os.PathLike[str], keyword: str, most: int) -> str | None:
    """Return the text that stands in a PNG file under a keyword, in whichever kind of text chunk; None where there is none.

    Parameters
    ----------
    path : str or path
        The file.
    keyword : str
        The chunk's.
    most : int
        The most bytes of the text, as it is when it is unpacked.

    Raises
    ------
    ImageError
        For a file that cannot be read, is no PNG, or is damaged before the text's end; for a longer text.
    """
    name = os.fspath(path)
    with open_regular(path, "the image", ImageError) as stream:
        if stream.read(len(_SIGNATURE)) != _SIGNATURE:
            return None
        length = os.fstat(stream.fileno()).st_size
        for _ in range(_MOST_CHUNKS):
            head = stream.read(8)
            if len(head) < 8 or head[4:] == b"IEND":
                return None
            size, kind = struct.unpack(">I4s", head)
            if stream.tell() + size + 4 > length:
                raise ImageError(f"{name} is damaged: a chunk of {size} bytes reaches beyond its end.")
            if kind in _KINDS and _keyword(stream) == keyword.encode("latin-1"):
                return _text(stream, kind, size, keyword, most, name)
            stream.seek(size + 4, os.SEEK_CUR)
    raise ImageError(f"{name} has more than {_MOST_CHUNKS} chunks.")


def _keyword(stream: BinaryIO) -> bytes:
    """Return the keyword of a text chunk, which has at most 79 bytes; the stream stays where it is."""
    place = stream.tell()
    start = stream.read(80)
    stream.seek(place)
    return start.partition(b"\0")[0]


def _text(stream: BinaryIO, kind: bytes, size: int, keyword: str, most: int, name: str) -> str:
    if size > most + 1000:
        raise ImageError(f"the text '{keyword}' of {name} has {size} bytes, and at most {most} are read.")
    data, check = stream.read(size), stream.read(4)
    if zlib.crc32(kind + data) != int.from_bytes(check, "big"):
        raise ImageError(f"{name} is damaged: the checksum of its text '{keyword}' does not fit.")
    rest, compressed = data[len(keyword) + 1 :], kind == b"zTXt"
    if kind == b"iTXt":
        compressed = rest[:1] != b"\0"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # behind flag and method stand a language and a translated keyword
    elif kind == b"zTXt":
        rest = rest[1:]
    if compressed:
        try:
            unpacking = zlib.decompressobj()
            rest = unpacking.decompress(rest, most + 1)
        except zlib.error as error:
            raise ImageError(f"{name} is damaged: its text '{keyword}' cannot be unpacked ({error}).") from error
    if len(rest) > most:
        raise ImageError(f"the text '{keyword}' of {name} has more than {most} bytes.")
    return rest.decode("utf-8" if kind == b"iTXt" else "latin-1", "replace")
