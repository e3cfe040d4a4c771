"""The image functions that ``scipy.misc`` had until SciPy 1.2, through Pillow, with the values that they gave."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamopt.image.opening import opened_image

Array = npt.NDArray[Any]
_FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "cubic": 3}


def bytescale(data: Any, cmin: float | None = None, cmax: float | None = None, high: int = 255, low: int = 0) -> Array:
    """Stretch values from [cmin, cmax] (by default their own range) to [low, high], rounded; bytes stay as they are.

    Examples
    --------
    >>> bytescale([-1.0, 0.0, 3.0]).tolist()
    [0, 64, 255]
    """
    array = np.asarray(data)
    if array.dtype == np.uint8:
        return array
    if not 0 <= low <= high <= 255:
        raise ValueError(f"low is {low} and high is {high}, but 0 <= low <= high <= 255 is needed")
    bottom = array.min() if cmin is None else cmin
    top = array.max() if cmax is None else cmax
    if top < bottom:
        raise ValueError(f"cmax is {top}, but may not be below cmin, {bottom}")
    span = float(top) - float(bottom) or 1.0
    return np.asarray(((array * 1.0 - bottom) * ((high - low) / span) + low).clip(low, high) + 0.5, np.uint8)


def toimage(
    arr: Any,
    high: int = 255,
    low: int = 0,
    cmin: float | None = None,
    cmax: float | None = None,
    pal: Any = None,
    mode: str | None = None,
    channel_axis: int | None = None,
) -> Image.Image:
    """Return a Pillow image of (H, W), or of three or four channels on any axis; values are stretched as by `bytescale`.

    Modes are ``L``, ``P``, ``F`` (not stretched), ``I`` and ``1`` (above ``high``) for one channel; ``RGB``, ``RGBA``, ``YCbCr`` and
    ``CMYK`` for more.
    """
    array = np.asarray(arr)
    if np.iscomplexobj(array):
        raise ValueError("an image of complex numbers cannot be made")
    if array.ndim == 2:
        return _one_channel(array, high, low, cmin, cmax, pal, mode)
    if array.ndim != 3 or not {3, 4}.intersection(array.shape):
        raise ValueError(f"an array of shape {array.shape} is no image: (H, W), or three axes with 3 or 4 channels on one of them")
    if channel_axis is None:
        channel_axis = array.shape.index(3 if 3 in array.shape else 4)
    scaled = np.moveaxis(bytescale(array, cmin, cmax, high, low), channel_axis, -1)
    channels = scaled.shape[-1]
    modes = {3: ("RGB", "YCbCr"), 4: ("RGBA", "CMYK")}.get(channels, ())
    if not modes or (mode is not None and mode not in modes):
        raise ValueError(f"mode {mode} does not fit {channels} channels on axis {channel_axis}")
    return Image.frombytes(mode or modes[0], scaled.shape[1::-1], np.ascontiguousarray(scaled).tobytes())


def _one_channel(array: Array, high: int, low: int, cmin: float | None, cmax: float | None, pal: Any, mode: str | None) -> Image.Image:
    size = array.shape[::-1]
    if mode == "F":
        return Image.frombytes("F", size, array.astype(np.float32).tobytes())
    if mode == "1":
        return Image.frombytes("L", size, ((array > high) * np.uint8(255)).tobytes()).convert("1")
    if mode == "I":
        bottom, top = array.min() if cmin is None else cmin, array.max() if cmax is None else cmax
        return Image.frombytes("I", size, ((array * 1.0 - bottom) * (high - low) / (top - bottom) + low).astype(np.int32).tobytes())
    if mode not in (None, "L", "P"):
        raise ValueError(f"mode {mode} does not fit one channel: L, P, F, I or 1 do")
    image = Image.frombytes("L", size, bytescale(array, cmin, cmax, high, low).tobytes())
    if mode == "P" or pal is not None:
        image.putpalette((np.repeat(np.arange(256), 3) if pal is None else np.asarray(pal)).astype(np.uint8).tobytes())
    return image


def fromimage(im: Image.Image, flatten: bool = False, mode: str | None = None) -> Array:
    """Return a Pillow image as an array; ``flatten`` makes it one channel of float32."""
    if mode is not None:
        im = im.convert(mode)
    elif im.mode == "P":
        im = im.convert("RGBA" if "transparency" in im.info else "RGB")
    if flatten:
        im = im.convert("F")
    elif im.mode == "1":
        im = im.convert("L")
    return np.array(im)


def imread(name: Any, flatten: bool = False, mode: str | None = None) -> Array:
    """Read an image as an array: (H, W), (H, W, 3) or (H, W, 4), bytes."""
    with opened_image(name) as image:
        return fromimage(image, flatten, mode)


def imsave(name: Any, arr: Any, format: str | None = None) -> None:
    """Write an array as an image, stretched to [0, 255] unless it holds bytes."""
    toimage(arr, channel_axis=2).save(name, format)


def imresize(arr: Any, size: float | tuple[int, ...], interp: str = "bilinear", mode: str | None = None) -> Array:
    """Resize to ``size``: (height, width), a whole number of percent, or a fraction. Gives bytes, stretched as by `toimage`."""
    image = toimage(arr, mode=mode)
    if isinstance(size, int | float | np.number):
        factor = float(size) / 100 if isinstance(size, int | np.integer) else float(size)
        width, height = (int(side * factor) for side in image.size)
    else:
        height, width = (int(side) for side in size[:2])
    return fromimage(image.resize((width, height), resample=Image.Resampling(_FILTERS[interp])))


def imrotate(arr: Any, angle: float, interp: str = "bilinear") -> Array:
    """Rotate counterclockwise by degrees about the middle; what comes in is black. Gives bytes, stretched as by `toimage`."""
    return fromimage(toimage(arr).rotate(angle, resample=Image.Resampling(_FILTERS[interp])))
