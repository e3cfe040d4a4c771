"""What each of Pillow's modes is shown as: one rule for each, to red, green and blue of 0 to 255."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

RGBImage = npt.NDArray[np.uint8]
_STRIP = 2**20  # pixels that are converted at a time, so that an image is in memory once and a little
_ORIENTATION = 0x0112
_WITH_OPACITY = {"LA": "RGBA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}
_USUAL_WHITE = (1, 255, 65535)
_PHOTOMETRIC, _BITS, _SAMPLE_FORMAT = 262, 258, 339  # tags of TIFF


def rgb_of(image: Image.Image) -> RGBImage:
    r"""Return an image of any mode as red, green and blue, upright.

    Grey is repeated; palettes are looked up; opacity is laid on white. Numbers of more than 8 bits are

    .. math:: \operatorname{round}(255 \, (v - b) / (w - b))

    cut to 0 to 255. In files of 16 bits (PNG, PPM, JPEG 2000, unsigned TIFF) b = 0 and w = 65535 (of 12 bits: 4095). For others, whole
    numbers of 32 bits and floating point, b = 0 and w is the first of 1, 255 and 65535 that no pixel exceeds, above that the highest
    value; where there are negative values, b is the lowest and w the highest. NaN is shown as b.

    Parameters
    ----------
    image : PIL.Image.Image
        Of mode 1, L, LA, La, P, PA, RGB, RGBA, RGBa, RGBX, CMYK, YCbCr, LAB, HSV, I, I;16 (L, B, N) or F. The EXIF orientation is
        applied; profiles and gamma are not.

    Returns
    -------
    ndarray, (H, W, 3), uint8
        RGB.

    Examples
    --------
    >>> rgb_of(Image.fromarray(np.array([[0, 0.5, 1]], np.float32))).tolist()
    [[[0, 0, 0], [128, 128, 128], [255, 255, 255]]]
    """
    transparent = _transparent(image)
    image.load()
    convert = _conversion(image, transparent)
    width, height = image.size
    shown = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        shown[top : top + rows] = convert(image.crop((0, top, width, min(top + rows, height))))
    return upright(shown, _orientation(image))


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # whatever Pillow stumbles over; the pixels are whole, and many programs write damaged EXIF
        return 1


def _transparent(image: Image.Image) -> Any:
    """Return the colour that a file calls transparent, in the numbers that Pillow gives pixels; of a palette, the opacities."""
    value = image.info.get("transparency")
    tiles: Any = getattr(image, "tile", None)
    raw = str(tiles[0][3]) if image.format == "PNG" and tiles else ""
    if isinstance(value, int):
        # Grey of 1, 2 and 4 bits is spread over 0 to 255, the transparent one is not.
        return value * {"1": 255, "L;2": 85, "L;4": 17}.get(raw, 1)
    if isinstance(value, tuple) and raw == "RGB;16B":
        return tuple(v >> 8 for v in value)  # as Pillow cuts the pixels
    return value


def _conversion(image: Image.Image, transparent: Any) -> Callable[[Image.Image], npt.NDArray[Any]]:
    """Return what makes a strip of an image RGB."""
    mode = image.mode
    if mode == "F" or mode.split(";")[0] == "I":
        return _deep(image, transparent)
    if mode == "LAB":
        to_srgb = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
        return lambda strip: np.asarray(ImageCms.applyTransform(strip, to_srgb))
    if mode == "CMYK" and image.format in {"JPEG", "MPO"} and "adobe" not in image.info:
        # Adobe writes ink turned round, and Pillow takes every JPEG for one of Adobe's.
        return lambda strip: np.asarray(Image.fromarray(255 - np.asarray(strip), "CMYK").convert("RGB"))
    if mode in _WITH_OPACITY:
        return lambda strip: _on_white(np.asarray(strip.convert(_WITH_OPACITY[mode]).convert("RGBA")))
    if transparent is not None and mode in {"1", "L", "RGB"}:
        return lambda strip: _without(np.asarray(strip.convert("RGB")), transparent)
    if transparent is not None and mode == "P":
        return lambda strip: _on_white(np.asarray(strip.convert("RGBA")))
    return lambda strip: np.asarray(strip.convert("RGB"))


def _on_white(rgba: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    opacity = rgba[..., 3:].astype(np.uint32)
    return (rgba[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255


def _without(rgb: npt.NDArray[np.uint8], transparent: int | tuple[int, ...]) -> npt.NDArray[Any]:
    """Return pixels with those of the transparent colour white."""
    return np.where((rgb == np.array(transparent)).all(-1, keepdims=True), 255, rgb)


def _deep(image: Image.Image, transparent: Any) -> Callable[[Image.Image], npt.NDArray[Any]]:
    """Return the conversion of numbers of more than 8 bits."""
    tags: Any = getattr(image, "tag_v2", {})
    bits = (*tags.get(_BITS, ()), 16)[0]
    unsigned = image.mode == "I" and bits == 32 and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1 and image.format == "TIFF"

    def values(strip: Image.Image) -> npt.NDArray[np.float64]:
        numbers = np.asarray(strip)
        return (numbers.view(np.uint32) if unsigned else numbers).astype(np.float64)

    if image.mode.startswith("I;16") or (image.format in {"PNG", "PPM", "JPEG2000"} and image.mode == "I"):
        black, white = 0.0, 4095.0 if bits == 12 else 65535.0
    else:
        black, white = _range(image, values)

    def convert(strip: Image.Image) -> npt.NDArray[Any]:
        numbers = values(strip)
        grey = brightness(numbers, black, white)
        if tags.get(_PHOTOMETRIC) == 0:
            grey = 1.0 - grey
        if isinstance(transparent, int):
            grey[numbers == transparent] = 1.0
        return np.rint(255.0 * grey)[..., None]

    return convert


def _range(image: Image.Image, values: Callable[[Image.Image], npt.NDArray[np.float64]]) -> tuple[float, float]:
    """Return what is black and what is white among numbers whose file does not say so."""
    lowest, highest = 0.0, 0.0
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        numbers = values(image.crop((0, top, image.width, min(top + rows, image.height))))
        finite = numbers[np.isfinite(numbers)]
        if finite.size:
            lowest, highest = min(lowest, float(finite.min())), max(highest, float(finite.max()))
    return usual_range(lowest, highest)


def usual_range(lowest: float, highest: float) -> tuple[float, float]:
    """Return what is black and what is white among numbers from a lowest, at most 0, to a highest, whose file does not say so.

    >>> usual_range(0, 0.75), usual_range(0, 200), usual_range(-1, 1)
    ((0.0, 1.0), (0.0, 255.0), (-1, 1))
    """
    if lowest < 0:
        return lowest, highest
    return 0.0, next((float(white) for white in _USUAL_WHITE if highest <= white), highest)


def brightness(numbers: npt.NDArray[np.float64], black: float, white: float) -> npt.NDArray[np.float64]:
    """Return numbers as parts of the way from black to white, 0 to 1; NaN is black."""
    finite = np.nan_to_num(numbers, nan=black, posinf=white, neginf=black)
    # Halves first: the difference of two float64 may be beyond the range.
    return np.clip((finite / 2 - black / 2) / (white / 2 - black / 2), 0.0, 1.0)


def upright(image: RGBImage, orientation: Any) -> RGBImage:
    """Return an image turned and mirrored as EXIF, or TIFF, says: its orientation, 1 to 8; anything else turns nothing."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
