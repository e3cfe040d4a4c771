"""What a film is made of: its frames with their times, its colours, and how it is turned to be shown upright."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

BT709, BT601, BT2020 = 1, 5, 9
"""Numbers of matrices between RGB and luma with chroma, of ITU-T H.273."""
_UNSPECIFIED = 2
_SAME = {1: BT709, 4: 4, 5: BT601, 6: BT601, 7: 7, 9: BT2020, 10: BT2020}
"""The matrices that are converted, by their numbers."""
LIMITED, FULL = 1, 2
"""Numbers of the ranges of luma and chroma, of H.273: 16 to 235 (chroma 240), or all values."""
_HIGH = (1280, 576)
"""A film without a matrix that is at least so wide, or higher than that, is taken for BT.709, as players do."""


@dataclass(frozen=True)
class Colour:
    """How luma and chroma become red, green and blue, by the numbers of ITU-T H.273.

    The dream takes place in the RGB that the matrix and the range give. Primaries and transfer are not converted: what is written has
    those of the film.

    Parameters
    ----------
    matrix : int
        `BT709`, `BT601` (5 or 6), `BT2020` (9 or 10), 4 (FCC) or 7 (SMPTE 240M).
    range : int
        `LIMITED` or `FULL`.
    primaries, transfer : int
        2: unspecified.
    """

    matrix: int = BT709
    range: int = LIMITED
    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED

    @classmethod
    def of(cls, matrix: int, range: int, primaries: int, transfer: int, size: tuple[int, int]) -> Colour:
        """Return what a film says, with what players suppose where it says nothing; ``size`` is (H, W)."""
        if matrix not in _SAME:
            matrix = BT709 if size[1] >= _HIGH[0] or size[0] > _HIGH[1] else BT601
        return cls(matrix, FULL if range == FULL else LIMITED, primaries, transfer)

    @property
    def coefficients(self) -> int:
        """The number by which swscale knows the matrix."""
        return _SAME[self.matrix]


@dataclass(frozen=True)
class Frame:
    """One frame of a film, upright.

    Parameters
    ----------
    index : int
        Its place in the film, from 0.
    image : ndarray, (H, W, 3), uint8 or uint16
        RGB, all values used.
    pts : int
        When it is shown, in units of the film's time base.
    duration : int
        For how long by the file, 0 where it does not say.
    """

    index: int
    image: NDArray[Any] = field(repr=False, compare=False)
    pts: int = 0
    duration: int = 0


@dataclass(frozen=True)
class Film:
    """What is known of a film before its frames are read.

    Parameters
    ----------
    path : str
        The file or the folder.
    size : (int, int)
        (H, W) of the frames, upright.
    time_base : Fraction
        Seconds of one unit of time.
    rate : Fraction
        Frames a second, on average.
    depth : int
        Bits of each channel in the file.
    colour : Colour
        As the file says it, or as players suppose.
    sample_aspect : Fraction
        Width of a pixel over its height, upright; mostly 1.
    codec : str
        FFmpeg's name of how the frames are stored.
    other : tuple of (str, str)
        Kind ("audio", "subtitle") and codec of the streams beside.
    """

    path: str
    size: tuple[int, int]
    time_base: Fraction
    rate: Fraction
    depth: int = 8
    colour: Colour = Colour()
    sample_aspect: Fraction = Fraction(1)
    codec: str = ""
    other: tuple[tuple[str, str], ...] = ()


def upright(image: NDArray[Any], matrix: Sequence[int] | None) -> NDArray[Any]:
    """Return an image, (H, W, 3), turned and mirrored as a display matrix says, to the nearest quarter turn.

    Parameters
    ----------
    image : ndarray
        As it is stored.
    matrix : sequence of int, optional
        Nine numbers by rows, as in QuickTime files: a point (x, y) is shown at (a x + c y, b x + d y), where a, b are the first two
        numbers and c, d the fourth and the fifth. None: as it is.

    Examples
    --------
    >>> clockwise = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    >>> upright(np.array([[[1], [2], [3]], [[4], [5], [6]]]), clockwise)[..., 0].tolist()
    [[4, 1], [5, 2], [6, 3]]
    """
    if matrix is None:
        return image
    a, b, _, c, d = matrix[:5]
    if is_turned(matrix):
        image, across, down = image.swapaxes(0, 1), c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def is_turned(matrix: Sequence[int] | None) -> bool:
    """Return whether width and height change places."""
    return matrix is not None and abs(matrix[1]) + abs(matrix[3]) > abs(matrix[0]) + abs(matrix[4])


def at_8_bits(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image of uint8 or uint16, both with white as their largest number, as uint8.

    >>> at_8_bits(np.array([0, 128, 129, 65535], dtype=np.uint16))
    array([  0,   0,   1, 255], dtype=uint8)
    """
    return image if image.dtype == np.uint8 else ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
