"""What JPEG makes of an image."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dreamopt.image.opening import opened_image


def through_jpeg(levels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return an image packed as JPEG and unpacked again.

    Parameters
    ----------
    levels : ndarray, (H, W, 3) or (H, W), uint8
        Red, green and blue, whose chrominance is kept at half the resolution; or grey.
    quality : int
        From 1 to 95.

    Examples
    --------
    >>> stripes = np.tile(np.array([0, 255], np.uint8), (16, 8))
    >>> bool(np.abs(through_jpeg(stripes, 30).astype(float) - stripes).mean() > 1)
    True
    """
    stream = io.BytesIO()
    options = {"subsampling": "4:2:0"} if levels.ndim == 3 else {}
    Image.fromarray(np.ascontiguousarray(levels)).save(stream, format="JPEG", quality=quality, **options)
    stream.seek(0)
    with opened_image(stream) as image:
        return np.asarray(image).copy()
