"""Reading and writing images, with metadata inside."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from dreamopt.errors import ImageError
from dreamopt.image.modes import RGBImage as RGBImage
from dreamopt.image.modes import rgb_of
from dreamopt.image.opening import REDUCED, most_pixels, opened_image
from dreamopt.image.png_text import read_png_text
from dreamopt.image.tiff import is_misread, is_tiff, read_other_tiff
from dreamopt.parts.arguments import check_kind, check_path, check_several
from dreamopt.parts.atomic import atomic_write
from dreamopt.parts.checks import COUNT, check_whole, shown
from dreamopt.parts.reading import parse_json

_REMEMBERED, _MOST_REMEMBERED = 4, 3 * 2**24
_remembered: dict[tuple[tuple[object, ...], tuple[int, int] | None], RGBImage] = {}
"""The last few images of files in the states that they had, so small as that; a reference image is asked for in every stage of a job."""
KEY = "dreamopt"
"""Keyword of the PNG text chunk that holds the metadata."""
MOST_METADATA = 16 * 2**20
"""The most bytes of metadata."""


def write_png(path: str | Path, image: RGBImage, metadata: Mapping[str, Any] | None = None, *, scratch: str | Path | None = None) -> Path:
    """Write a PNG file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Where to; an existing file is replaced in one step, a missing folder is made.
    image : ndarray, (H, W, 3) or (H, W, 4), uint8
        RGB, or RGBA.
    metadata : mapping, optional
        Anything JSON can hold; stored as one international text chunk (iTXt) under the keyword ``dreamopt``.
    scratch : str or Path, optional
        The temporary name, as for `dreamopt.parts.atomic.atomic_write`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ImageError
        When the image is of another form, or the file cannot be written.
    """
    path = check_path("path", path, ImageError)
    check_kind("image", image, np.ndarray, "an array", ImageError)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4):
        raise ImageError(f"an image to write is (H, W, 3) or (H, W, 4) of uint8, not {image.shape} of {image.dtype}.")
    chunks = PngImagePlugin.PngInfo()
    if metadata is not None:
        chunks.add_itxt(KEY, _json(metadata))
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="PNG", pnginfo=chunks)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, scratch) as stream:
            stream.write(content.getbuffer())
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error
    return Path(path)


def _json(metadata: Mapping[str, Any]) -> str:
    """Return JSON that UTF-8 can hold: a path may have bytes that are not UTF-8, which Python keeps as surrogates."""
    text = json.dumps(metadata, ensure_ascii=False, sort_keys=True)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(metadata, sort_keys=True)
    return text


def read_image(path: str | Path, size: Sequence[int] | None = None) -> RGBImage:
    """Read an image as red, green and blue.

    Parameters
    ----------
    path : str or Path
        The file, of one of `dreamopt.image.opening.FORMATS`; the first frame of an animation. What each kind of pixels is shown as says
        `dreamopt.image.modes.rgb_of`.
    size : (int, int), optional
        (H, W) that it is wanted at least in. It matters for a JPEG above the limit of pixels alone, which is then decoded reduced.

    Returns
    -------
    ndarray, (H, W, 3), uint8
        RGB.

    Raises
    ------
    ImageError
        When the file is missing, damaged, no image, or above the limit of pixels.
    """
    path = check_path("path", path, ImageError)
    sides = None if size is None else tuple(check_whole("size", side, COUNT, ImageError) for side in check_several("size", size, "numbers"))
    if sides is not None and len(sides) != 2:
        raise ImageError(f"size must be (height, width), not {shown(size)}")
    state: tuple[object, ...] = ()
    try:
        file = os.stat(path)
        state = (os.fspath(path), file.st_dev, file.st_ino, file.st_mtime_ns, file.st_size, most_pixels())
    except (OSError, ValueError):
        pass  # what is wrong with it says opened_image
    # A copy: whoever writes into it must not change what the next one reads.
    for key in ((state, None), (state, sides)):
        if key in _remembered:
            return _remembered[key].copy()
    try:
        with opened_image(path, sides) as image:
            other = read_other_tiff(path) if is_misread(image) else None
            rgb, reduced = (rgb_of(image), REDUCED in image.info) if other is None else (other, False)
    except ImageError as problem:
        other = read_other_tiff(path) if isinstance(problem.__cause__, UnidentifiedImageError) and is_tiff(path) else None
        if other is None:
            raise
        rgb, reduced = other, False
    if state and rgb.size <= _MOST_REMEMBERED:
        _remembered[state, sides if reduced else None] = rgb.copy()
        while len(_remembered) > _REMEMBERED:
            _remembered.pop(next(iter(_remembered)), None)
    return rgb


def rgb_array(image: npt.ArrayLike) -> RGBImage:
    """Return an image (H, W, 3) or (H, W), RGB or grey, 0 to 255, as (H, W, 3) of uint8; numbers that are not whole are rounded.

    Raises
    ------
    ImageError
        For an array of another shape, and for values that are not finite.
    """
    try:
        array = np.asarray(image)
        numbers = array.dtype.kind in "uif"
    except (TypeError, ValueError) as problem:
        raise ImageError(f"an image is an array of numbers, not {shown(image)}") from problem
    if not numbers or array.ndim not in (2, 3) or not array.size or (array.ndim == 3 and array.shape[2] != 3):
        raise ImageError(f"an image is an array (H, W, 3) or (H, W) of numbers from 0 to 255, not {array.shape} of {array.dtype}")
    array = covering(array, array.shape[:2])
    return array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)


def read_png(path: str | Path) -> RGBImage:
    """Read an image of `write_png` back as it was written: (H, W, 3), or (H, W, 4) where it has opacity.

    Raises
    ------
    ImageError
        When the file is missing, damaged, or no image.
    """
    with opened_image(path) as image:
        return np.array(image)


def covering(image: npt.NDArray[Any], size: Sequence[int]) -> RGBImage:
    """Return an image, (H, W), (H, W, 3) or (H, W, C), scaled to cover (H, W) ``size`` with its sides' ratio kept, and cut to its middle.

    >>> covering(np.zeros((30, 20, 3), dtype=np.uint8), (12, 16)).shape
    (12, 16, 3)
    """
    height, width = (int(v) for v in size)
    array = np.asarray(image)
    if array.ndim not in (2, 3) or not array.size:
        raise ImageError(f"an image is an array (H, W), (H, W, 3) or (H, W, C), not one of shape {array.shape}.")
    if array.dtype != np.uint8:
        if not np.isfinite(array).all():
            raise ImageError("an image holds values that are not finite.")
        array = np.clip(np.rint(array), 0, 255).astype(np.uint8)
    if array.shape[:2] == (height, width):
        return array
    if array.ndim == 3 and array.shape[2] != 3:
        return np.stack([covering(array[..., channel], size) for channel in range(array.shape[2])], axis=-1)
    whole = Image.fromarray(array)
    factor = max(height / whole.height, width / whole.width)
    across, down = max(width, round(whole.width * factor)), max(height, round(whole.height * factor))
    left, top = (across - width) // 2, (down - height) // 2
    scaled = whole.resize((across, down), Image.Resampling.LANCZOS)
    return np.asarray(scaled.crop((left, top, left + width, top + height)))


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read what `write_png` stored in an image.

    Parameters
    ----------
    path : str or Path
        A PNG file.

    Returns
    -------
    dict
        The metadata.

    Raises
    ------
    ImageError
        When the file cannot be read, or holds no metadata of dreamopt's, or metadata that are damaged or too long.
    """
    path = check_path("path", path, ImageError)
    text = read_png_text(path, KEY, MOST_METADATA)
    found = None if text is None else parse_json(text, f"the metadata of {path}", ImageError)
    if not isinstance(found, dict):
        raise ImageError(f"{path} holds no metadata of dreamopt's.")
    return found
