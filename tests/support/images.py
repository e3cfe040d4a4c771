"""PNG and TIFF files of any colour type and depth, written byte by byte: Pillow writes few of them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

COLOUR_TYPES = {"grey": 0, "rgb": 2, "palette": 3, "grey+opacity": 4, "rgb+opacity": 6}


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    path: Path,
    width: int,
    height: int,
    depth: int,
    kind: str,
    rows: bytes,
    *chunks: tuple[bytes, bytes],
    after: tuple[bytes, bytes] | None = None,
    interlaced: bytes | None = None,
    interlace: int = 1,
) -> Path:
    """Write a PNG of rows of packed samples without their filter bytes; ``chunks`` stand before the pixels, ``after`` behind them.

    ``interlaced`` are the rows of Adam7's passes instead, with their filter bytes (or, with ``interlace`` 0, plain rows with them).
    """
    length = len(rows) // height if rows else 0
    filtered = b"".join(b"\0" + rows[y * length : (y + 1) * length] for y in range(height)) if rows else b""
    filtered = filtered if interlaced is None else interlaced
    head = struct.pack(">IIBBBBB", width, height, depth, COLOUR_TYPES[kind], 0, 0, 0 if interlaced is None else interlace)
    content = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(filtered)), *([after] if after else []), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, data) for name, data in content))
    return path


def tiff(path: Path, size: tuple[int, int], pixels: bytes, *, bits: int, format: int, photometric: int = 1, **more: int) -> Path:
    """Write a little-endian TIFF of one strip; ``more`` are further tags, as ``t322=16``."""
    tags = {256: size[0], 257: size[1], 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: size[1], 279: len(pixels), 339: format}
    tags |= {int(name[1:]): value for name, value in more.items()}
    pixels += b"\0" * (len(pixels) % 2)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + struct.pack("<H", len(tags)) + entries + b"\0" * 4)
    return path
