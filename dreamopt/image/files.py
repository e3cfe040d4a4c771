"""Reading and writing images, with metadata inside."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from dreamopt.errors import ImageError
from dreamopt.image.covering import covering as covering
from dreamopt.image.loading import load_image
from dreamopt.image.modes import Levels
from dreamopt.image.modes import RGBImage as RGBImage
from dreamopt.image.opening import opened_image
from dreamopt.image.png_text import read_png_text
from dreamopt.parts.arguments import check_kind, check_path
from dreamopt.parts.atomic import atomic_write
from dreamopt.parts.checks import shown
from dreamopt.parts.reading import parse_json

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


def read_image(path: str | Path, size: Sequence[int] | None = None) -> Levels:
    """Read an image as red, green and blue of sRGB, on white where it is transparent: what a net sees of it.

    Parameters
    ----------
    path : str or Path
        The file, as for `dreamopt.image.loading.load_image`, which says more of it.
    size : (int, int), optional
        (H, W) that it is wanted at least in. It matters for a JPEG above the limit of pixels alone, which is then decoded reduced.

    Returns
    -------
    ndarray, (H, W, 3)
        Grey levels, 0 to 255: uint8; of more than 8 bits, or with another profile than sRGB's, float32 with their fraction.

    Raises
    ------
    ImageError
        When the file is missing, damaged, no image, or above the limit of pixels.
    """
    levels = load_image(path, size).levels()
    return levels if levels.flags.writeable else levels.copy()


def rgb_array(image: npt.ArrayLike) -> Levels:
    """Return an image (H, W, 3) or (H, W), RGB or grey, 0 to 255, as (H, W, 3): uint8, or float32 where numbers are not whole.

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
    levels = covering(array, array.shape[:2])
    if levels.dtype != np.uint8 and (levels == np.rint(levels)).all():
        levels = levels.astype(np.uint8)
    colours: Levels = np.ascontiguousarray(levels if levels.ndim == 3 else np.repeat(levels[..., None], 3, axis=2))
    return colours


def read_png(path: str | Path) -> RGBImage:
    """Read an image of `write_png` back as it was written: (H, W, 3), or (H, W, 4) where it has opacity.

    Raises
    ------
    ImageError
        When the file is missing, damaged, or no image.
    """
    with opened_image(path) as image:
        return np.array(image)


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
