"""TIFF files that Pillow does not read, through tifffile: colours of 32 and 64 bits, planes of 16, floating point of 16 and 64."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from dreamopt.image.modes import RGBImage, brightness, upright, usual_range
from dreamopt.image.opening import most_pixels, quiet

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STRIP = 2**20
_GREY, _RGB = (0, 1), 2
_BITS, _PLANES, _ORIENTATION = 258, 284, 274


def is_tiff(path: str | os.PathLike[str]) -> bool:
    """Return whether a regular file begins as a TIFF does."""
    with open(path, "rb") as stream:
        return stream.read(4) in _MAGIC


def is_misread(image: Image.Image) -> bool:
    """Return whether Pillow takes the samples of an opened TIFF for bytes though they are longer: planes that are not compressed."""
    if not isinstance(image, TiffImageFile) or image.tag_v2.get(_PLANES) != 2 or not image.tile or image.tile[0][0] != "raw":
        return False
    bits = image.tag_v2.get(_BITS, (1,))
    return bool(max(bits if isinstance(bits, tuple) else (bits,)) > 8)


def read_other_tiff(path: str | os.PathLike[str]) -> RGBImage | None:
    """Return the first page of a TIFF, (H, W, 3), as `dreamopt.image.modes.rgb_of` shows numbers of its kind.

    Returns
    -------
    ndarray or None
        None for a file that is damaged or too large, and for pages that are neither grey nor red, green and blue (with an opacity or
        without).
    """
    try:
        from tifffile import TiffFile

        with quiet("tifffile"), TiffFile(path) as file:
            page: Any = file.pages.first
            sizes = [page.nbytes, int(np.prod(page.chunks, dtype=object)) * page.dtype.itemsize]
            if max(sizes) > 12 * most_pixels() or page.dtype.kind not in "buif" or page.axes not in ("YX", "YXS", "SYX"):
                return None
            colours = {1: 1, 2: 1} if page.photometric in _GREY else {3: 3, 4: 3} if page.photometric == _RGB else {}
            values = page.asarray()
            orientation = page.tags.valueof(_ORIENTATION, 1)
    except Exception:  # whatever tifffile stumbles over in a damaged file
        return None
    if values.ndim != len(page.axes) or not values.size:
        return None
    values = np.moveaxis(values, 0, -1) if page.axes == "SYX" else values[..., None] if page.axes == "YX" else values
    if values.shape[2] not in colours:
        return None
    return upright(_rgb(values, colours[values.shape[2]], page.photometric == 0), orientation)


def _rgb(values: npt.NDArray[Any], colours: int, inverted: bool) -> RGBImage:
    """Return numbers (H, W, S) as colours, the sample after them as their opacity."""
    height, width = values.shape[:2]
    rows = max(1, _STRIP // width)
    strips = [slice(top, top + rows) for top in range(0, height, rows)]
    black, white = 0.0, float({"b1": 1, "u1": 255, "u2": 65535}.get(values.dtype.str[1:], 0))
    if not white:
        lowest, highest = 0.0, 0.0
        for strip in strips:
            part = values[strip, :, :colours].astype(np.float64)
            part = np.append(part[np.isfinite(part)], 0.0)
            lowest, highest = min(lowest, float(part.min())), max(highest, float(part.max()))
        black, white = usual_range(lowest, highest)
    shown = np.empty((height, width, 3), np.uint8)
    for strip in strips:
        part = brightness(values[strip].astype(np.float64), black, white)
        colour = 1.0 - part[..., :colours] if inverted else part[..., :colours]
        if values.shape[2] > colours:
            colour = 1.0 + (colour - 1.0) * part[..., colours:]
        shown[strip] = np.rint(255.0 * colour)
    return shown
