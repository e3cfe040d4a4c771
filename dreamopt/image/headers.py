"""What an image's header says that its pixels do not show: further frames, bits that are not read, colours of other standards."""

from __future__ import annotations

import os
import struct
from typing import Any

from PIL import Image

from dreamopt.errors import ImageError
from dreamopt.parts.reading import open_regular

_HEAD = 2**16  # bytes of a file that are looked at
_STILLS = {"JPEG", "MPO", "ICO"}  # whose further images are previews, gain maps or sizes
_SRGB = (1, 13)  # colours and transfer of cICP


def header_notes(path: str | os.PathLike[str], image: Image.Image) -> list[str]:
    """Return sentences about what is not kept of an opened image that Pillow reads, its header alone read."""
    notes = []
    frames = _frames(image)
    if frames > 1:
        notes.append(f"only the first of its {frames} images is read")
    with open_regular(path, "the image", ImageError) as stream:
        head = stream.read(_HEAD)
    bits = _bits_that_are_cut(image, head)
    if bits > 8:
        notes.append(f"its samples have {bits} bits, of which 8 are read; save it as PNG or TIFF to keep them")
    if image.format == "PNG" and (code := _chunk(head, b"cICP")) is not None and tuple(code[:2]) != _SRGB:
        notes.append(f"its colours are of another standard than sRGB (cICP {', '.join(map(str, code[:4]))}), which is not applied")
    return notes


def _frames(image: Image.Image) -> int:
    if image.format in _STILLS:
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # whatever Pillow stumbles over in the frames that are not read
        return 1


def _bits_that_are_cut(image: Image.Image, head: bytes) -> int:
    """Return the bits of each sample where the file has more than Pillow gives, as far as the head says; else 8."""
    if image.mode.startswith(("I", "F")):
        return 8
    if image.format == "PPM":
        tiles: Any = getattr(image, "tile", None)
        arguments = tiles[0][3] if tiles else ()
        return 16 if isinstance(arguments, tuple) and len(arguments) > 1 and arguments[1] > 255 else 8
    if image.format == "SGI":
        return 8 * head[3]
    if image.format == "JPEG2000":
        start = head.find(b"\xff\x4f\xff\x51")  # the marker of a code stream's size
        return (head[start + 42] & 0x7F) + 1 if 0 <= start < len(head) - 42 else 8
    if image.format == "AVIF":
        start = head.find(b"av1C")
        flags = head[start + 6] if 0 <= start < len(head) - 6 else 0
        return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    return 8


def _chunk(head: bytes, name: bytes) -> bytes | None:
    """Return the data of a PNG's chunk before its pixels."""
    place = 8
    while place + 8 <= len(head):
        size, kind = struct.unpack_from(">I4s", head, place)
        if kind == name:
            return head[place + 8 : place + 8 + size]
        if kind == b"IDAT":
            return None
        place += 12 + size
    return None
