"""TIFF files that Pillow does not read, through tifffile: colours of 32 and 64 bits, planes of 16, floating point of 16 and 64.

What tifffile does not unpack (LZW, without its imagecodecs) is unpacked by Pillow's libtiff, as bytes.
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO, TypeGuard

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from dreamopt.errors import ImageError
from dreamopt.image.modes import Samples, brightness, strips, usual_range, white_of
from dreamopt.image.opening import LARGEST_FILE, most_pixels, quiet
from dreamopt.image.tiff_bytes import unpacked_by_libtiff
from dreamopt.parts.reading import open_regular

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""What a TIFF file begins with."""
_GREY, _RGB = (0, 1), 2
_NO_OPACITY, _PREMULTIPLIED, _OPACITY = 0, 1, 2
_MOST_PACKED = 1500  # times that any packing makes numbers smaller: deflate 1032 times, LZW 1365
_BITS, _PLANES, _ORIENTATION, _PROFILE, _DESCRIPTION = 258, 284, 274, 34675, 270


def is_tiff(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as a TIFF does; ImageError where it cannot be read."""
    with open_regular(path, "the image", ImageError) as stream:
        return stream.read(4) in _MAGIC


def bits_of(image: TiffImageFile) -> int:
    """Return how many bits the longest sample of an opened TIFF has, by its header."""
    bits = image.tag_v2.get(_BITS, (1,))
    return int(max(bits if isinstance(bits, tuple) else (bits,)))


def is_misread(image: Image.Image) -> TypeGuard[TiffImageFile]:
    """Return whether Pillow takes the samples of an opened TIFF for bytes though they are longer: planes one after the other."""
    if not isinstance(image, TiffImageFile) or image.tag_v2.get(_PLANES) != 2 or image.mode not in {"RGB", "RGBA", "RGBX", "CMYK", "LAB"}:
        return False
    return bits_of(image) > 8


def read_other_tiff(path: str | os.PathLike[str]) -> Samples | None:
    """Return the first page of a TIFF, as `dreamopt.image.modes.samples_of` shows numbers of its kind.

    Returns
    -------
    Samples or None
        None for a file that is damaged or too large, and for pages that are neither grey nor red, green and blue (with an opacity or
        without).
    """
    try:
        from tifffile import TiffFile

        with open_regular(path, "the image", ImageError, LARGEST_FILE) as stream, quiet("tifffile"), TiffFile(stream, name="image") as file:
            page: Any = file.pages.first
            sizes = [page.nbytes, int(np.prod(page.chunks, dtype=object)) * page.dtype.itemsize]
            if max(sizes) > 12 * most_pixels() or page.dtype.kind not in "buif" or page.axes not in ("YX", "YXS", "SYX"):
                return None
            packed = min(sum(page.databytecounts), os.fstat(stream.fileno()).st_size)
            if page.nbytes > _MOST_PACKED * packed:
                return None  # most of it is not there
            colours = {1: 1, 2: 1} if page.photometric in _GREY else {3: 3, 4: 3} if page.photometric == _RGB else {}
            values = _unpacked(page, stream)
            orientation = page.tags.valueof(_ORIENTATION, 1)
            profile, extra = page.tags.valueof(_PROFILE, None), (*page.extrasamples, _OPACITY)[0]  # OpenCV does not say
    except Exception:  # whatever tifffile stumbles over in a damaged file
        return None
    if values is None or not values.size or values.ndim not in (2, 3):
        return None
    values = values[..., None] if values.ndim == 2 else values
    if values.shape[2] not in colours:
        return None
    samples = _samples(values, colours[values.shape[2]], page.photometric == 0, int(extra))
    samples.profile = profile if isinstance(profile, bytes) and profile else None
    return samples.upright(orientation)


def read_tiff_text(path: str | os.PathLike[str], most: int) -> str | None:
    """Return the description of a TIFF's first page (ImageDescription), its pixels not looked at; None where there is none.

    Raises
    ------
    ImageError
        For a file that cannot be read, and for a text of more than ``most`` bytes.
    """
    with open_regular(path, "the image", ImageError) as stream:
        try:
            from tifffile import TiffFile

            with quiet("tifffile"), TiffFile(stream, name="image") as file:
                tag = file.pages.first.tags.get(_DESCRIPTION)
                if tag is None or tag.count <= most:
                    text = None if tag is None else tag.value
                    return text if isinstance(text, str) else None
        except Exception as problem:  # whatever tifffile stumbles over in a damaged file
            raise ImageError(f"the image '{os.fspath(path)}' cannot be read, it is damaged: {problem}") from problem
    raise ImageError(f"the description of '{os.fspath(path)}' has more than {most} bytes, which are the most that are read")


def _unpacked(page: Any, stream: BinaryIO) -> npt.NDArray[Any] | None:
    """Return a page's numbers, (H, W) or (H, W, S)."""
    try:
        values: npt.NDArray[Any] = page.asarray()
    except ValueError as problem:
        if "imagecodecs" not in str(problem):
            raise
        return unpacked_by_libtiff(page, stream)
    if values.ndim != len(page.axes):
        return None
    return np.moveaxis(values, 0, -1) if page.axes == "SYX" else values


def _samples(values: npt.NDArray[Any], colours: int, inverted: bool, extra: int) -> Samples:
    """Return numbers (H, W, S) as colours, the sample after them as their opacity."""
    height, width = values.shape[:2]
    notes: list[str] = []
    kept = {"u1": np.uint8, "u2": np.uint16}.get(values.dtype.str[1:])
    black, white = 0.0, 1.0 if values.dtype.kind == "b" else float(white_of(values.dtype))
    if kept is None and values.dtype.kind != "b":
        black, white = usual_range((values[strip, :, :colours] for strip in strips(height, width)), notes)
    dtype = np.dtype(np.float32 if kept is None else kept)
    top = white_of(dtype)
    shown = np.empty((height, width, 3), dtype)
    opacity = np.empty((height, width), dtype) if values.shape[2] > colours and extra != _NO_OPACITY else None
    for strip in strips(height, width):
        if kept is not None and not (inverted or (opacity is not None and extra == _PREMULTIPLIED)):
            shown[strip] = values[strip, :, :colours]
            if opacity is not None:
                opacity[strip] = values[strip, :, colours]
            continue
        part = brightness(values[strip].astype(np.float64), black, white)
        colour = 1.0 - part[..., :colours] if inverted else part[..., :colours]
        if opacity is not None:
            clear = part[..., colours:]
            if extra == _PREMULTIPLIED:
                colour = np.where(clear > 0, np.clip(colour / np.where(clear > 0, clear, 1.0), 0.0, 1.0), 0.0)
            opacity[strip] = _as(dtype, top * clear[..., 0])
        shown[strip] = _as(dtype, top * colour)
    return Samples(shown, opacity, notes)


def _as(dtype: np.dtype[Any], values: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    return (values if dtype.kind == "f" else np.rint(values)).astype(dtype)
