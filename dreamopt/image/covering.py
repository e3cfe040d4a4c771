"""Scaling an image to cover a size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamopt.errors import ImageError
from dreamopt.image.modes import Levels


def scaled_size(size: Sequence[int], factor: float) -> tuple[int, int]:
    """Return the two sides of an image times a factor, each in whole pixels, at least 1.

    >>> scaled_size((480, 640), 0.5), scaled_size((3, 640), 0.1)
    ((240, 320), (1, 64))
    """
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def covering(image: npt.ArrayLike, size: Sequence[int]) -> Levels:
    """Return an image, (H, W), (H, W, 3) or (H, W, C), scaled to cover (H, W) ``size`` with its sides' ratio kept, and cut to its middle.

    Grey levels of floating point, 0 to 255, keep their fraction, as float32; whole numbers are cut to uint8.

    >>> covering(np.zeros((30, 20, 3), dtype=np.uint8), (12, 16)).shape
    (12, 16, 3)
    """
    height, width = (int(v) for v in size)
    array: Any = np.asarray(image)
    if array.ndim not in (2, 3) or not array.size:
        raise ImageError(f"an image is an array (H, W), (H, W, 3) or (H, W, C), not one of shape {array.shape}.")
    if array.dtype != np.uint8:
        if not np.isfinite(array).all():
            raise ImageError("an image holds values that are not finite.")
        clipped = np.clip(array, 0, 255)
        array = clipped.astype(np.float32) if array.dtype.kind == "f" else clipped.astype(np.uint8)
    if array.shape[:2] == (height, width):
        return cast(Levels, array)
    if array.ndim == 3 and (array.shape[2] != 3 or array.dtype != np.uint8):
        return cast(Levels, np.stack([covering(array[..., channel], size) for channel in range(array.shape[2])], axis=-1))
    whole = Image.fromarray(array)
    factor = max(height / whole.height, width / whole.width)
    across, down = max(width, round(whole.width * factor)), max(height, round(whole.height * factor))
    left, top = (across - width) // 2, (down - height) // 2
    scaled = whole.resize((across, down), Image.Resampling.LANCZOS)
    cut: Any = np.asarray(scaled.crop((left, top, left + width, top + height)))
    return cast(Levels, cut if array.dtype == np.uint8 else np.clip(cut, 0.0, 255.0))
