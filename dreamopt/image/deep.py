"""Colours of 16 bits, of which Pillow keeps the high byte of each sample: both bytes, in two passes.

Pillow's decoders give the first or the second byte of a sample, as the raw mode of the image's tiles says its byte order. So an image that
is opened twice, the second time with the other order, gives all 16 bits, in whichever way it is packed, interlaced or tiled.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from dreamopt.errors import ImageError
from dreamopt.image.modes import Samples, cut_strips, orientation_of, profile_of, without

_CODECS = {"PNG": ("zip",), "TIFF": ("raw", "libtiff")}
_MODES = {"RGB", "RGBA", "RGBX", "CMYK", "LA"}
_PLANES = 284  # a tag of TIFF
_OTHER = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}


def _raw_mode(image: Image.Image) -> str:
    tiles: Any = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def in_two_passes(image: Image.Image) -> bool:
    """Return whether an opened image is read by `first_pass` and `second_pass`."""
    if image.mode not in _MODES or ";16" not in _raw_mode(image):
        return False
    codecs = _CODECS.get(image.format or "", ())
    planes: Any = getattr(image, "tag_v2", {})
    return all(tile[0] in codecs for tile in _tiles(image)) and planes.get(_PLANES, 1) == 1


def _tiles(image: Image.Image) -> list[Any]:
    assert isinstance(image, ImageFile.ImageFile)
    return list(image.tile)


def _set_tiles(image: Image.Image, tiles: list[Any]) -> None:
    assert isinstance(image, ImageFile.ImageFile)
    kind: Any = type(image.tile[0])
    image.tile = tiles if kind is tuple else [kind(*tile) for tile in tiles]  # a tuple up to Pillow 10


def _decoded(image: Image.Image, second: bool) -> None:
    tiles = []
    for codec, extents, offset, arguments in _tiles(image):
        raw, *rest = arguments if isinstance(arguments, tuple) else (arguments,)
        # As stored: what is multiplied by its opacity is divided once all 16 bits are there.
        raw = raw.replace("RGBa", "RGBA")
        name, order = raw[:-4], raw[-4:]
        raw = name + (_OTHER[order] if second else order)
        tiles.append((codec, extents, offset, (raw, *rest) if isinstance(arguments, tuple) else raw))
    _set_tiles(image, tiles)
    image.load()


def first_pass(image: Image.Image) -> tuple[npt.NDArray[np.uint16], bool]:
    """Return an opened image's samples, (H, W, S), without their low bytes, and whether a second pass gives those."""
    if _raw_mode(image).startswith("LA"):
        # Its four bytes of a pixel are those of RGBA, for the filters of PNG too.
        image._mode = "RGBA"  # up to Pillow 10 it is LA; Pillow's readers set it so
        _set_tiles(image, [(*tile[:3], "RGBA") for tile in _tiles(image)])
        image.load()
        values = np.empty((image.height, image.width, 2), np.uint16)
        for rows, part in _strips(image):
            values[rows] = part[..., 0::2].astype(np.uint16) << 8 | part[..., 1::2]
        return values, False
    _decoded(image, second=False)
    bands = len(image.getbands())
    values = np.empty((image.height, image.width, bands), np.uint16)
    for rows, part in _strips(image):
        values[rows] = part
        values[rows] <<= 8
    return values, True


def second_pass(image: Image.Image, values: npt.NDArray[np.uint16]) -> None:
    """Add the low bytes to `first_pass`'s samples, of the same file opened anew."""
    _decoded(image, second=True)
    if (image.height, image.width, len(image.getbands())) != values.shape:
        raise ImageError("the image cannot be read: it was changed while it was read")
    for rows, part in _strips(image):
        values[rows] |= part


def _strips(image: Image.Image) -> Iterator[tuple[slice, npt.NDArray[np.uint8]]]:
    return ((rows, np.asarray(strip)) for rows, strip in cut_strips(image))


def deep_samples(image: Image.Image, values: npt.NDArray[np.uint16], premultiplied: bool) -> Samples:
    """Return samples of 16 bits, (H, W, S), as red, green and blue.

    Parameters
    ----------
    image : PIL.Image.Image
        What they are of, for its mode, profile and orientation.
    values : ndarray, uint16
        Of `first_pass` and `second_pass`.
    premultiplied : bool
        Whether the colours are multiplied by their opacity.
    """
    notes: list[str] = []
    transparent, opacity = image.info.get("transparency"), None
    if values.shape[2] == 2:
        colours, opacity = np.repeat(values[..., :1], 3, -1), np.ascontiguousarray(values[..., 1])
    elif image.mode == "CMYK":
        colours = _without_ink(values)
        if image.info.get("icc_profile"):
            notes.append("its colour profile is not applied, as its ink has 16 bits")
    elif image.mode == "RGBA":
        colours, opacity = np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3])
        colours = divided(colours, opacity) if premultiplied else colours
    else:
        colours = values if values.shape[2] == 3 else np.ascontiguousarray(values[..., :3])
        if isinstance(transparent, tuple):
            colours, opacity = without(colours, transparent)
    return Samples(colours, opacity, notes, profile_of(image)).upright(orientation_of(image))


def is_premultiplied(image: Image.Image) -> bool:
    """Return whether an opened image's colours are stored multiplied by their opacity."""
    return "RGBa" in _raw_mode(image)


def divided(colours: npt.NDArray[Any], opacity: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return colours that are multiplied by their opacity, both uint16, as they are without; black where that is 0."""
    made = np.zeros_like(colours)
    for row in range(len(colours)):
        part = np.maximum(opacity[row, :, None], 1).astype(np.float64)
        made[row] = np.where(opacity[row, :, None] > 0, np.clip(np.rint(65535.0 * colours[row] / part), 0, 65535), 0)
    return made


def _without_ink(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    colours = np.empty((*values.shape[:2], 3), np.uint16)
    for row, ink in enumerate(values):
        light = 65535.0 - ink
        colours[row] = np.rint(light[:, :3] * light[:, 3:] / 65535.0)
    return colours
