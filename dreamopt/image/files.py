"""Reading and writing images, with metadata inside."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamopt.errors import ImageError
from dreamopt.image.covering import covering as covering
from dreamopt.image.jpeg_text import is_jpeg, read_jpeg_text
from dreamopt.image.loaded import LoadedImage
from dreamopt.image.loading import exif_text
from dreamopt.image.loading import load_image as load_image
from dreamopt.image.modes import Levels
from dreamopt.image.modes import RGBImage as RGBImage
from dreamopt.image.png_text import read_png_text
from dreamopt.image.tiff import is_tiff, read_tiff_text
from dreamopt.image.writing import DESCRIPTION, KEY, ImageArray
from dreamopt.image.writing import write_image as write_image
from dreamopt.parts.arguments import check_path
from dreamopt.parts.checks import shown
from dreamopt.parts.reading import open_regular, parse_json

_DESCRIBED = f'{{"{KEY}":'
MOST_METADATA = 16 * 2**20
"""The most bytes of metadata."""


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
    return own_levels(load_image(path, size))


def own_levels(image: LoadedImage) -> Levels:
    """Return what a net sees of an image, (H, W, 3), as `read_image`: an array of the caller's own."""
    levels = image.levels()
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


def read_written(path: str | Path) -> ImageArray:
    """Read an image of `write_image` back as it was written: (H, W, 3), or (H, W, 4) where it has opacity, uint8 or uint16.

    Raises
    ------
    ImageError
        When the file is missing, damaged, or no image.
    """
    image = load_image(path)
    return np.array(image.colours) if image.opacity is None else np.dstack([image.colours, image.opacity])


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read what `write_image` stored in an image.

    Parameters
    ----------
    path : str or Path
        A PNG, TIFF, WebP or JPEG file.

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
    text, described = _text_of(path)
    found = None if text is None else parse_json(text, f"the metadata of {path}", ImageError)
    if described and isinstance(found, dict):
        found = found.get(KEY)
    if not isinstance(found, dict):
        raise ImageError(f"{path} holds no metadata of dreamopt's.")
    return found


def _text_of(path: str) -> tuple[str | None, bool]:
    """Return the JSON in an image file, None where there is none of dreamopt's, and whether it is a description with the key inside."""
    if is_jpeg(path):
        return read_jpeg_text(path, KEY, MOST_METADATA), False
    if is_webp(path):
        text = exif_text(path, DESCRIPTION)
    elif is_tiff(path):
        text = read_tiff_text(path, MOST_METADATA)
    else:
        return read_png_text(path, KEY, MOST_METADATA), False
    of_ours = isinstance(text, str) and text.startswith(_DESCRIBED) and len(text) <= MOST_METADATA
    return text if of_ours else None, True  # else a description of another program's


def is_webp(path: str) -> bool:
    """Return whether a file begins as a WebP does; ImageError where it cannot be read."""
    with open_regular(path, "the image", ImageError) as stream:
        head = stream.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"
