"""Wrappers of scikit-image and of images on disk for regularizers, which know tensors alone; both are loaded when first used.

Arrays are one image each, (H, W, C), float64.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import ImageError, RegularizerError
from dreamopt.parts.reading import file_state

Array = NDArray[np.float64]


def tv_bregman(image: Array, weight: float, iterations: int, epsilon: float, isotropic: bool) -> Array:
    """Return the image denoised by split Bregman total variation, all channels stopping together."""
    from skimage.restoration import denoise_tv_bregman

    # The edge is mirrored at the second row and column, so a single one is read beyond its end; three alike say the same.
    wide = np.repeat(np.repeat(image, 3 if image.shape[0] == 1 else 1, 0), 3 if image.shape[1] == 1 else 1, 1)
    # Without channel_axis the channels are independent but for the one stopping rule, as in scikit-image before 0.19.
    made = np.asarray(denoise_tv_bregman(wide, weight, iterations, epsilon, isotropic), dtype=np.float64).reshape(wide.shape)
    return made[: image.shape[0], : image.shape[1]]


def wavelet(image: Array, sigma: float | None, name: str, mode: str) -> Array:
    """Return the image with its wavelet coefficients shrunk (BayesShrink), each channel by itself."""
    if importlib.util.find_spec("pywt") is None:
        raise RegularizerError("wavelet denoising needs the package PyWavelets, which is not installed: pip install PyWavelets")
    from skimage.restoration import denoise_wavelet

    pywt = importlib.import_module("pywt")
    if name not in pywt.wavelist(kind="discrete"):
        raise RegularizerError(f"there is no discrete wavelet {name!r}; usual ones are db1 (Haar) to db8, sym4, coif1 and bior2.2")
    if pywt.dwtn_max_level(image.shape[:2], name) < 1:
        return image  # smaller than the wavelet: its coefficients would be the mirrored border's
    planes = [image[..., c] for c in range(image.shape[2])]
    # Without detail there is nothing to shrink, and the estimate of the noise divides by it.
    made = [one if one.max() == one.min() else denoise_wavelet(one, sigma, name, mode, rescale_sigma=False) for one in planes]
    return np.asarray(np.stack(made, -1), dtype=np.float64).reshape(image.shape)


Rows = tuple[tuple[float, ...], ...]


def frozen_mask(mask: object) -> str | Rows:
    """Return a stencil as a file's path, or its rows of numbers from 0 to 1 as nested tuples.

    Raises
    ------
    RegularizerError
        For anything else.
    """
    if isinstance(mask, str | os.PathLike):
        return os.fspath(mask)
    try:
        array = np.asarray(mask, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as problem:
        raise RegularizerError("a stencil is the path of an image, or an array (H, W) of numbers from 0 to 1") from problem
    if array.ndim != 2 or array.size == 0 or not ((array >= 0) & (array <= 1)).all():
        raise RegularizerError(f"a stencil is the path of an image, or an array (H, W) from 0 to 1, not one of shape {array.shape}")
    return tuple(tuple(map(float, row)) for row in array)


_EXACT = 1e-6
"""Nearer than this to 0 or 1, what was scaled is meant to be so."""


def mask_at(mask: str | Rows, size: tuple[int, int], of: tuple[int, int] | None = None) -> Array:
    """Return a stencil, (H, W) from 0 (outside) to 1 (inside), scaled to ``size``; of a file the luminance counts.

    With ``of``, (H, W), it is first scaled to cover that size and cut to its middle.

    Raises
    ------
    RegularizerError
        For a file that is missing or no image.
    """
    return _mask_at(mask, (size[0], size[1]), of, file_state(mask) if isinstance(mask, str) else None)


@lru_cache(maxsize=8)
def _mask_at(mask: str | Rows, size: tuple[int, int], of: tuple[int, int] | None, state: object) -> Array:
    """Return the same, read once for each state of a file."""
    array = _covering(_read_mask(mask, size if of is None else of), of)
    if array.shape != size:
        array = _stretched(array, size)
        array[array < _EXACT] = 0
        array[array > 1 - _EXACT] = 1
    array = np.clip(array, 0.0, 1.0)
    array.setflags(write=False)
    return array


def _read_mask(mask: str | Rows, size: tuple[int, int]) -> Array:
    from dreamopt.image.colour import LUMINANCE
    from dreamopt.image.files import read_image

    if not isinstance(mask, str):
        return np.array(mask, dtype=np.float64)
    try:
        image = read_image(mask, size)
    except ImageError as problem:
        raise RegularizerError(f"the mask {mask} cannot be read as an image: {problem}") from problem
    luminance = np.empty(image.shape[:2])
    for row, colours in enumerate(image):  # one by one: a large mask's colours as float64 would take as much as a step
        luminance[row] = colours @ np.array(LUMINANCE)
    return luminance / 255.0


def _covering(array: Array, size: tuple[int, int] | None) -> Array:
    """Return a mask scaled to cover a size, and cut to its middle, as `dreamopt.image.files.covering` does it with the image."""
    if size is None or array.shape == size:
        return array
    factor = max(size[0] / array.shape[0], size[1] / array.shape[1])
    down, across = (max(side, round(length * factor)) for side, length in zip(size, array.shape, strict=True))
    top, left = (down - size[0]) // 2, (across - size[1]) // 2
    return np.array(_stretched(array, (down, across))[top : top + size[0], left : left + size[1]])


def _stretched(array: Array, size: tuple[int, int]) -> Array:
    from PIL import Image

    image = Image.fromarray(array.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.array(image, dtype=np.float64)
