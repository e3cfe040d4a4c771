"""What each of Pillow's modes is shown as: one rule for each, to red, green and blue of 8 or 16 bits, or grey levels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from dreamopt.image.profile import ProfileError, read_profile

RGBImage = npt.NDArray[np.uint8]
Levels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
STRIP = 2**20  # pixels that are converted at a time, so that an image is in memory once and a little
ORIENTATION = 0x0112
_WITH_OPACITY = {"LA": "RGBA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}
_USUAL_WHITE = (1, 255, 65535)
_PHOTOMETRIC, _BITS, _SAMPLE_FORMAT = 262, 258, 339  # tags of TIFF


@dataclass(eq=False)
class Samples:
    """An image's numbers.

    Parameters
    ----------
    colours : ndarray, (H, W, 3)
        Red, green and blue: uint8; uint16, 65535 being white; or float32, grey levels with white at 255.
    opacity : ndarray, (H, W), or None
        Of the same type, as much as white being opaque; None for an image that is opaque.
    notes : list of str
        What of the file is not kept, as sentences about it.
    profile : bytes or None
        The ICC profile that the colours are of; None for sRGB.
    orientation : int
        The EXIF orientation that was applied, 1 where there was none.
    """

    colours: npt.NDArray[Any]
    opacity: npt.NDArray[Any] | None
    notes: list[str]
    profile: bytes | None = None
    orientation: int = 1

    def upright(self, orientation: Any) -> Samples:
        """Return the image turned and mirrored as EXIF, or TIFF, says: its orientation, 1 to 8; anything else turns nothing."""
        opacity = None if self.opacity is None else _upright(self.opacity, orientation)
        known = orientation if orientation in range(1, 9) else 1
        return Samples(_upright(self.colours, orientation), opacity, self.notes, self.profile, known)


def white_of(dtype: np.dtype[Any]) -> int:
    """Return what is white among samples of a type.

    >>> white_of(np.dtype(np.uint16))
    65535
    """
    return 65535 if dtype == np.uint16 else 255


def strips(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of an image in strips of about `STRIP` pixels.

    >>> list(strips(5, 2**19))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    rows = max(1, STRIP // width)
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def cut_strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Yield the strips of Pillow's image, each with its rows."""
    return ((rows, image.crop((0, rows.start, image.width, rows.stop))) for rows in strips(image.height, image.width))


def as_levels(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return samples of `Samples` as grey levels 0 to 255 with their fraction."""
    return np.asarray(samples / 257.0 if samples.dtype == np.uint16 else samples, np.float32)


def samples_of(image: Image.Image) -> Samples:
    r"""Return an image of any mode as red, green and blue, upright.

    Grey is repeated; palettes are looked up; opacity is kept apart. Whole numbers of 16 bits (PNG, PPM, JPEG 2000, unsigned TIFF) stay as
    they are. Other numbers of more than 8 bits are grey levels

    .. math:: 255 \, (v - b) / (w - b)

    cut to 0 to 255. In files of 12 bits b = 0 and w = 4095. For others, whole numbers of 32 bits and floating point, b = 0 and w is the
    first of 1, 255 and 65535 that no pixel exceeds, above that the highest value; where there are negative values, b is the lowest and w
    the highest. NaN is shown as b.

    Parameters
    ----------
    image : PIL.Image.Image
        Of mode 1, L, LA, La, P, PA, RGB, RGBA, RGBa, RGBX, CMYK, YCbCr, LAB, HSV, I, I;16 (L, B, N) or F. The EXIF orientation is
        applied, and the profile of ink; other profiles go with the samples.

    Examples
    --------
    >>> samples_of(Image.fromarray(np.array([[0, 0.5, 1]], np.float32))).colours.tolist()
    [[[0.0, 0.0, 0.0], [127.5, 127.5, 127.5], [255.0, 255.0, 255.0]]]
    """
    transparent = _transparent(image)
    image.load()
    notes: list[str] = []
    convert = _conversion(image, transparent, notes)
    width, height = image.size
    colours = opacity = None
    for rows, strip in cut_strips(image):
        shown, clear = convert(strip)
        if colours is None:
            colours = np.empty((height, width, 3), shown.dtype)
        colours[rows] = shown
        if clear is not None:
            opacity = np.full((height, width), white_of(shown.dtype), shown.dtype) if opacity is None else opacity
            opacity[rows] = clear
    assert colours is not None
    return Samples(colours, opacity, notes, profile_of(image)).upright(orientation_of(image))


def orientation_of(image: Image.Image) -> Any:
    """Return what the EXIF of an image says of its orientation."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # whatever Pillow stumbles over; the pixels are whole, and many programs write damaged EXIF
        return 1


def profile_of(image: Image.Image) -> bytes | None:
    """Return an image's ICC profile, where its colours are still those of the profile once they are red, green and blue."""
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile and image.mode not in {"CMYK", "LAB"} else None


def _transparent(image: Image.Image) -> Any:
    """Return the colour that a file calls transparent, in the numbers that Pillow gives pixels; of a palette, the opacities."""
    value = image.info.get("transparency")
    tiles: Any = getattr(image, "tile", None)
    raw = str(tiles[0][3]) if image.format == "PNG" and tiles else ""
    if isinstance(value, int):
        # Grey of 1, 2 and 4 bits is spread over 0 to 255, the transparent one is not.
        return value * {"1": 255, "L;2": 85, "L;4": 17}.get(raw, 1)
    return value


_Strip = tuple[npt.NDArray[Any], npt.NDArray[Any] | None]


def _conversion(image: Image.Image, transparent: Any, notes: list[str]) -> Callable[[Image.Image], _Strip]:
    """Return what makes colours and their opacity of a strip of an image."""
    mode = image.mode
    if mode == "F" or mode.split(";")[0] == "I":
        return _deep(image, transparent, notes)
    if mode == "LAB":
        to_srgb = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
        return lambda strip: (np.asarray(ImageCms.applyTransform(strip, to_srgb)), None)
    if mode == "CMYK":
        return _ink(image, notes)
    if mode in _WITH_OPACITY:
        return lambda strip: _apart(strip.convert(_WITH_OPACITY[mode]).convert("RGBA"))
    if transparent is not None and mode in {"1", "L", "RGB"}:
        return lambda strip: without(np.asarray(strip.convert("RGB")), transparent)
    if transparent is not None and mode == "P":
        return lambda strip: _apart(strip.convert("RGBA"))
    return lambda strip: (np.asarray(strip.convert("RGB")), None)


def _ink(image: Image.Image, notes: list[str]) -> Callable[[Image.Image], _Strip]:
    # Adobe writes ink turned round, and Pillow takes every JPEG for one of Adobe's.
    turned = image.format in {"JPEG", "MPO"} and "adobe" not in image.info
    profile = image.info.get("icc_profile")
    to_srgb: Any = None
    if profile:
        try:
            found = read_profile(profile)
            if found.space != "CMYK":
                raise ProfileError(f"it is of {found.space} colours")
            to_srgb = found.transform("CMYK")
            notes.append("its ink was brought to sRGB by its colour profile, at 8 bits, and the profile is not kept")
        except ProfileError as problem:
            notes.append(f"its colour profile is not applied: {problem}")

    def convert(strip: Image.Image) -> _Strip:
        ink = Image.fromarray(255 - np.asarray(strip), "CMYK") if turned else strip
        return np.asarray(ink.convert("RGB") if to_srgb is None else ImageCms.applyTransform(ink, to_srgb)), None

    return convert


def _apart(image: Image.Image) -> _Strip:
    rgba = np.asarray(image)
    return rgba[..., :3], rgba[..., 3]


def without(colours: npt.NDArray[Any], transparent: int | tuple[int, ...]) -> _Strip:
    """Return colours (H, W, 3), and their opacity: none for those of the transparent colour."""
    same = (colours == np.array(transparent)).all(-1)
    return colours, np.where(same, 0, white_of(colours.dtype)).astype(colours.dtype)


def _deep(image: Image.Image, transparent: Any, notes: list[str]) -> Callable[[Image.Image], _Strip]:
    """Return the conversion of numbers of more than 8 bits."""
    tags: Any = getattr(image, "tag_v2", {})
    bits = (*tags.get(_BITS, ()), 16)[0]
    unsigned = image.mode == "I" and bits == 32 and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1 and image.format == "TIFF"
    inverted = tags.get(_PHOTOMETRIC) == 0

    def values(strip: Image.Image) -> npt.NDArray[Any]:
        numbers = np.asarray(strip)
        return numbers.view(np.uint32) if unsigned else numbers

    whole = image.mode.startswith("I;16") or (image.format in {"PNG", "PPM", "JPEG2000"} and image.mode == "I")
    if whole and bits != 12:
        black, white = 0.0, 65535.0
    elif whole:
        black, white = 0.0, 4095.0
    else:
        black, white = usual_range((values(strip) for _, strip in cut_strips(image)), notes)

    def convert(strip: Image.Image) -> _Strip:
        numbers = values(strip)
        if whole and bits != 12:
            grey = np.clip(numbers, 0, 65535).astype(np.uint16)
            grey = 65535 - grey if inverted else grey
        else:
            part = brightness(numbers.astype(np.float64), black, white)
            grey = (255.0 * (1.0 - part if inverted else part)).astype(np.float32)
        colours = np.repeat(grey[..., None], 3, -1)
        if not isinstance(transparent, int):
            return colours, None
        return colours, np.where(numbers == transparent, 0, white_of(colours.dtype)).astype(colours.dtype)

    return convert


def usual_range(parts: Iterable[npt.NDArray[Any]], notes: list[str]) -> tuple[float, float]:
    """Return what is black and what is white among numbers, part by part, whose file does not say so.

    Where that is no usual range, a sentence is added to the notes.

    >>> [usual_range([np.array(numbers)], []) for numbers in ([0.5, 0.75], [np.nan, 200], [-1, 1])]
    [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)]
    """
    lowest, highest = 0.0, 0.0
    for part in parts:
        numbers = part.astype(np.float64)
        finite = numbers[np.isfinite(numbers)]
        if finite.size:
            lowest, highest = min(lowest, float(finite.min())), max(highest, float(finite.max()))
    white = next((float(white) for white in _USUAL_WHITE if highest <= white), None)
    if lowest >= 0 and white is not None:
        return 0.0, white
    black = f"{lowest:.4g}" if lowest < 0 else "0"
    notes.append(f"its numbers go beyond 0 to 1, 255 or 65535: {black} is shown as black and {highest:.4g} as white")
    return (lowest, highest) if lowest < 0 else (0.0, highest)


def brightness(numbers: npt.NDArray[np.float64], black: float, white: float) -> npt.NDArray[np.float64]:
    """Return numbers as parts of the way from black to white, 0 to 1; NaN is black."""
    finite = np.nan_to_num(numbers, nan=black, posinf=white, neginf=black)
    # Halves first: the difference of two float64 may be beyond the range.
    return np.clip((finite / 2 - black / 2) / (white / 2 - black / 2), 0.0, 1.0)


def _upright(image: npt.NDArray[Any], orientation: Any) -> npt.NDArray[Any]:
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
