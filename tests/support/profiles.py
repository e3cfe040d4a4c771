"""ICC profiles made by hand: of three colours and curves, of grey, and of tables."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence

import numpy as np

P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""Display P3's red, green and blue as XYZ of D50."""
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))


def fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def gamma(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256)) + bytes(2)


def table(values: Sequence[float]) -> bytes:
    numbers = struct.pack(f">{len(values)}H", *(round(65535 * value) for value in values))
    return b"curv" + bytes(4) + struct.pack(">I", len(values)) + numbers + bytes(len(numbers) % 4)


def parametric(kind: int, *numbers: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + fixed(*numbers)


SRGB_CURVE = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def profile(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ", kind: bytes = b"mntr") -> bytes:
    """Return a profile of version 4 with these tags."""
    text = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 8, 28) + "test".encode("utf-16-be")
    tags = {b"desc": text, b"cprt": text, b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249), **tags}
    start = 132 + 12 * len(tags)
    entries, content = b"", b""
    for name, data in tags.items():
        entries += struct.pack(">4sII", name, start + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    size = start + len(content)
    head = struct.pack(">I4sI4s4s4s", size, b"test", 0x04200000, kind, space, pcs) + struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp"
    head += bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + entries + content


def matrix_profile(colours: Sequence[Sequence[float]] = P3, curve: bytes = SRGB_CURVE) -> bytes:
    named = zip((b"rXYZ", b"gXYZ", b"bXYZ"), colours, strict=True)
    tags = {name: b"XYZ " + bytes(4) + fixed(*colour) for name, colour in named}
    return profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def grey_profile(curve: bytes) -> bytes:
    return profile(b"GRAY", {b"kTRC": curve})


def table_profile(space: bytes, count: int, lab: Callable[..., Sequence[float]], grid: int = 5) -> bytes:
    """Return a profile of a table from so many inputs, each from 0 to 1, to L* (0 to 100), a* and b*."""
    cells = []
    for place in itertools.product(np.linspace(0, 1, grid), repeat=count):
        lightness, a, b = lab(*place)
        cells += [round(value * 65535) for value in (lightness / 100, (a + 128) / 255, (b + 128) / 255)]
    head = b"mft2" + bytes(4) + struct.pack(">BBBB", count, 3, grid, 0) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack(">HH", 2, 2)
    line = struct.pack(">HH", 0, 65535)
    # mft2 has the encoding of version 2: 0xFF00 is L* of 100.
    numbers = np.clip(np.array(cells) * (0xFF00 / 65535), 0, 65535).round().astype(">u2").tobytes()
    return profile(space, {b"A2B0": head + line * count + numbers + line * 3}, pcs=b"Lab ", kind=b"prtr" if space == b"CMYK" else b"scnr")
