"""Images as pycaffe handles them: reading, resizing, cropping."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamopt.errors import ImageError
from dreamopt.image.opening import LARGEST_FILE, VARIABLE, most_pixels, opened_image, quiet
from dreamopt.parts.reading import open_regular

Array = npt.NDArray[Any]
_STRIP = 2**22  # numbers that are converted at a time


def load_image(filename: str | os.PathLike[str], color: bool = True) -> npt.NDArray[np.float32]:
    """Read an image as float32 in [0, 1].

    Parameters
    ----------
    filename : path
        Any image that scikit-image reads and that is below the limit of pixels (`dreamopt.image.opening`).
    color : bool
        RGB if true; one channel of luminance otherwise.

    Returns
    -------
    ndarray
        (H, W, 3) RGB, or (H, W, 1). An alpha channel is dropped, and all but the first image of an animation.

    Raises
    ------
    ImageError
        If the file cannot be read as an image, or is too large.
    """
    path = os.fspath(filename)
    image = _tiff(path) if path.lower().endswith((".tif", ".tiff")) else _pixels(path)
    if image.ndim not in (2, 3, 4) or not image.size:  # of a TIFF that is cut off, tifffile reads none of its images
        raise ImageError(f"the image '{path}' cannot be read, it is damaged: it holds an array of shape {image.shape}")
    if image.ndim == 4:
        image = image[0]  # of a GIF's images
    if image.ndim == 3 and image.shape[2] in (2, 4):
        image = image[:, :, :3] if image.shape[2] == 4 else image[:, :, 0]
    # In strips, since scikit-image goes through float64.
    rows = max(1, _STRIP // max(1, image[:1].size))
    first = _floats(image[:rows], color)
    if len(first) == len(image):
        return first
    floats = np.empty((len(image), *first.shape[1:]), np.float32)
    for top in range(0, len(image), rows):
        floats[top : top + rows] = _floats(image[top : top + rows], color)
    return floats


def _floats(image: Array, color: bool) -> npt.NDArray[np.float32]:
    from skimage.color import rgb2gray
    from skimage.util import img_as_float

    image = img_as_float(image)
    if not color and image.ndim == 3:
        image = rgb2gray(image)
    if image.ndim == 2:
        image = np.repeat(image[:, :, np.newaxis], 3 if color else 1, axis=2)
    return np.asarray(image, np.float32)


def _pixels(path: str) -> Array:
    """Return an image as scikit-image reads it, of an animation the first frame."""
    from imageio.v3 import imread as first_of
    from skimage.io import imread

    with opened_image(path) as opened:
        animated = getattr(opened, "is_animated", False)
        return np.asarray(first_of(path, index=0) if animated else imread(path))


def _tiff(path: str) -> Array:
    """Return a TIFF as scikit-image reads it, which knows more of them than Pillow; its size is checked before."""
    from skimage.io import imread
    from tifffile import TiffFile

    name, most = f"the image '{path}'", 4 * most_pixels()
    with open_regular(path, "the image", ImageError, LARGEST_FILE):
        try:
            with quiet("tifffile"), TiffFile(path) as file:
                size = file.series[0].size
                if 0 < size <= most:
                    return np.asarray(imread(path))
        except Exception as problem:  # whatever tifffile stumbles over in a damaged file
            raise ImageError(f"{name} cannot be read, it is damaged: {problem}") from problem
    raise ImageError(f"{name} holds {size} numbers, and 1 to {most} are read; {VARIABLE} in the environment sets the limit of pixels")


def resize_image(im: Array, new_dims: Sequence[int], interp_order: int = 1) -> npt.NDArray[np.float32]:
    """Resize an image of any value range.

    One and three channels go through `skimage.transform.resize` on the range stretched to [0, 1], as in Caffe; any other
    number through `scipy.ndimage.zoom`.

    Parameters
    ----------
    im : ndarray
        (H, W, K).
    new_dims : (int, int)
        Height and width of the result.
    interp_order : int
        Order of the interpolating spline, 0 to 5; 1 is linear. Beyond that, scikit-image's versions differ at the edges.

    Returns
    -------
    ndarray
        (height, width, K), float32.
    """
    height, width = (int(d) for d in new_dims)
    if im.shape[-1] not in (1, 3):
        from scipy.ndimage import zoom

        return np.asarray(zoom(im, (height / im.shape[0], width / im.shape[1], 1), order=interp_order), np.float32)
    low, high = im.min(), im.max()
    if not high > low:
        return np.full((height, width, im.shape[-1]), low, np.float32)
    from skimage.transform import resize

    stretched = resize((im - low) / (high - low), (height, width), order=interp_order, mode="constant")
    return np.asarray(stretched * (high - low) + low, np.float32)


def oversample(images: Sequence[Array], crop_dims: Sequence[int]) -> npt.NDArray[np.float32]:
    """Cut ten crops from each image: the four corners and the middle, then the same mirrored.

    Parameters
    ----------
    images : sequence of ndarray
        (H, W, K) each, all of one size.
    crop_dims : (int, int)
        Height and width of a crop.

    Returns
    -------
    ndarray
        (10 N, height, width, K); corners row by row, then the middle, then the mirrored five.
    """
    height, width = (int(d) for d in crop_dims)
    full_height, full_width = images[0].shape[:2]
    corners = [(y, x) for y in (0, full_height - height) for x in (0, full_width - width)]
    corners.append((int(full_height / 2 - height / 2), int(full_width / 2 - width / 2)))
    crops = []
    for image in images:
        five = [image[y : y + height, x : x + width] for y, x in corners]
        crops += [*five, *(crop[:, ::-1] for crop in five)]
    return np.asarray(crops, np.float32)
