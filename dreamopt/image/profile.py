"""Colour profiles (ICC): from a file's colours to sRGB, which nets are trained on, and back."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

Floats = npt.NDArray[np.float64]
LARGEST_PROFILE = 2**24
"""Bytes of the largest profile that is read; tables of printers take a few MiB."""
_SPACES = {b"RGB ": "RGB", b"GRAY": "GREY", b"CMYK": "CMYK"}
_MOST_TAGS = 200
_LEVELS = 65536
_OF_SRGB = np.array([[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]])
"""Columns: sRGB's red, green and blue as XYZ of D50, the profile connection space (Bradford)."""
_SAME = 1.0  # grey level: the profiles of sRGB by different makers differ by less; those of other colours by far more


class ProfileError(ValueError):
    """A profile that is damaged, or of a kind that is not read."""


@dataclass(frozen=True, eq=False)
class ColourProfile:
    r"""What a profile makes of colours.

    A matrix profile is

    .. math:: \text{XYZ} = M \, (f_r(r), f_g(g), f_b(b))^T

    and a grey one :math:`f(v)` of white; both are evaluated here in float64, at any depth, and inverted. Tables (of printers and
    scanners) go through LittleCMS at 8 bits, one way.

    Parameters
    ----------
    data : bytes
        The profile.
    space : {"RGB", "GREY", "CMYK"}
        Of the colours.
    curves : tuple of ndarray, (65536,)
        f at 0, 1 / 65535, ... 1, of each channel; () for tables.
    matrix : ndarray, (3, 3), or None
        From linear red, green and blue to those of sRGB; None for grey and tables.
    """

    data: bytes
    space: str
    curves: tuple[Floats, ...] = ()
    matrix: Floats | None = None

    @property
    def is_table(self) -> bool:
        """Whether it is one of tables, which has 8 bits and no inverse."""
        return not self.curves

    @cached_property
    def is_srgb(self) -> bool:
        """Whether no colour differs by a grey level from the same numbers in sRGB: they are then left as they are."""
        if self.is_table:
            return False
        side = np.linspace(0, 1, 9)
        colours = np.stack(np.meshgrid(side, side, side, indexing="ij"), -1).reshape(-1, 3)
        colours = np.concatenate([colours, np.repeat(np.linspace(0, 1, 256)[:, None], 3, 1)])
        if self.space == "GREY":
            colours = colours[-256:]
        return bool(np.abs(np.clip(self.to_srgb(colours), 0, 255) - 255 * colours).max() < _SAME)

    def to_srgb(self, colours: Floats) -> Floats:
        """Return colours (..., 3) of 0 to 1 as grey levels of sRGB; those that sRGB does not have are below 0 or above 255."""
        places = np.clip(np.rint(colours * (_LEVELS - 1)), 0, _LEVELS - 1).astype(np.int64)
        linear = np.stack([curve[places[..., channel]] for channel, curve in enumerate(self._three)], -1)
        return 255.0 * _encoded(linear if self.matrix is None else linear @ self.matrix.T)

    def from_srgb(self, levels: npt.NDArray[Any]) -> Floats:
        """Return grey levels of sRGB as colours of 0 to 1; the inverse of `to_srgb`, cut to what the profile can say."""
        linear = _linear(levels / 255.0)
        linear = linear if self.matrix is None else linear @ np.linalg.inv(self.matrix).T
        places = np.arange(_LEVELS) / (_LEVELS - 1)
        return np.stack([np.interp(linear[..., channel], curve, places) for channel, curve in enumerate(self._three)], -1)

    def transform(self, mode: str) -> ImageCms.ImageCmsTransform:
        """Return LittleCMS's transform of 8-bit images of a mode of Pillow's to sRGB: relative to white, black to black."""
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(self.data))
            return ImageCms.buildTransform(
                source,
                ImageCms.createProfile("sRGB"),
                mode,
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except (ImageCms.PyCMSError, OSError) as problem:
            raise ProfileError(str(problem) or "it cannot be used") from problem

    def table_to_srgb(self, colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return colours (H, W, 3) of 8 bits through the profile's tables."""
        return np.asarray(ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(colours)), self._of_table))

    @cached_property
    def _of_table(self) -> ImageCms.ImageCmsTransform:
        return self.transform("RGB")  # takes half as long as a strip of an image that goes through it

    @property
    def _three(self) -> tuple[Floats, ...]:
        return self.curves if len(self.curves) == 3 else self.curves * 3


def read_profile(data: bytes) -> ColourProfile:
    """Return the profile of a file's bytes.

    Raises
    ------
    ProfileError
        For one that is damaged, or of other colours than red, green and blue, grey, and ink.

    Examples
    --------
    >>> profile = read_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    >>> profile.space, profile.is_table, profile.is_srgb
    ('RGB', False, True)
    """
    if len(data) < 132 or data[36:40] != b"acsp" or len(data) > LARGEST_PROFILE:
        raise ProfileError("it is no ICC profile, or cut off")
    space = _SPACES.get(data[16:20])
    if space is None:
        raise ProfileError(f"it is one of {data[16:20]!r} colours")
    tags = _tags(data)
    if space == "RGB" and b"A2B0" not in tags and all(name in tags for name in (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")):
        columns = np.stack([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], -1)
        matrix = np.linalg.inv(_OF_SRGB) @ columns
        if not abs(np.linalg.det(matrix)) > 1e-6:
            raise ProfileError("its three colours are not independent")
        return ColourProfile(data, space, tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")), matrix)
    if space == "GREY" and b"kTRC" in tags:
        return ColourProfile(data, space, (_curve(tags[b"kTRC"]),))
    profile = ColourProfile(data, space)
    profile.transform({"RGB": "RGB", "GREY": "L", "CMYK": "CMYK"}[space])  # whether LittleCMS takes it
    return profile


def _tags(data: bytes) -> dict[bytes, bytes]:
    count = int.from_bytes(data[128:132], "big")
    if not 0 < count <= _MOST_TAGS or 132 + 12 * count > len(data):
        raise ProfileError("its table of tags is damaged")
    tags = {}
    for number in range(count):
        name, start, size = struct.unpack_from(">4sII", data, 132 + 12 * number)
        if start + size > len(data):
            raise ProfileError(f"its tag {name!r} reaches beyond its end")
        tags[name] = data[start : start + size]
    return tags


def _fixed(data: bytes, start: int, count: int) -> Floats:
    if len(data) < start + 4 * count:
        raise ProfileError("a tag is cut off")
    return np.frombuffer(data, ">i4", count, start).astype(np.float64) / 65536


def _xyz(tag: bytes) -> Floats:
    if tag[:4] != b"XYZ ":
        raise ProfileError("one of its colours is of another kind")
    return _fixed(tag, 8, 3)


def _curve(tag: bytes) -> Floats:
    """Return a tone curve at 65536 places, rising from 0 to 1."""
    x = np.arange(_LEVELS) / (_LEVELS - 1)
    if tag[:4] == b"curv" and len(tag) >= 12:
        count = int.from_bytes(tag[8:12], "big")
        if len(tag) < 12 + 2 * count:
            raise ProfileError("a tone curve is cut off")
        table = np.frombuffer(tag, ">u2", count, 12).astype(np.float64)
        if count == 0:
            y = x
        elif count == 1:
            y = x ** (table[0] / 256)
        else:
            y = np.interp(x, np.linspace(0, 1, count), table / 65535)
    elif tag[:4] == b"para" and len(tag) >= 12:
        y = _parametric(tag, x)
    else:
        raise ProfileError("a tone curve is of another kind")
    y = np.maximum.accumulate(np.clip(y, 0.0, 1.0))
    if not np.isfinite(y).all() or not y[-1] > y[0]:
        raise ProfileError("a tone curve does not rise")
    return y


def _parametric(tag: bytes, x: Floats) -> Floats:
    kind = int.from_bytes(tag[8:10], "big")
    if kind > 4:
        raise ProfileError("a tone curve is of another kind")
    g, a, b, c, d, e, f = np.append(_fixed(tag, 12, (1, 3, 4, 5, 7)[kind]), np.zeros(6))[:7]
    if kind == 0:
        a, b, d = 1.0, 0.0, 0.0
    elif kind in (1, 2):
        # Below -b / a it is constant: nothing in the first, c in the second.
        d = -b / a if a else np.inf
        e = f = c if kind == 2 else 0.0
        c = 0.0
    with np.errstate(all="ignore"):
        y: Floats = np.where(x >= d, np.power(np.maximum(a * x + b, 0.0), g) + e, c * x + f)
    return y


def _encoded(linear: Floats) -> Floats:
    size = np.abs(linear)
    encoded: Floats = np.where(size <= 0.0031308, 12.92 * size, 1.055 * np.power(size, 1 / 2.4) - 0.055)
    signed: Floats = np.copysign(encoded, linear)
    return signed


def _linear(encoded: npt.NDArray[Any]) -> Floats:
    size = np.abs(np.asarray(encoded, np.float64))
    linear: Floats = np.where(size <= 0.04045, size / 12.92, np.power((size + 0.055) / 1.055, 2.4))
    signed: Floats = np.copysign(linear, encoded)
    return signed


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """Return the ICC profile of sRGB, as LittleCMS makes it, without the day on which it was made."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + data[36:]
