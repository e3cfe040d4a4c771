"""Small films whose motion is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data

Frame = NDArray[np.uint8]


def photo(name: str) -> NDArray[np.float64]:
    """Return one of the photographs that lie in scikit-image's wheel, grey levels 0 to 255."""
    image: NDArray[np.uint8] = getattr(data, name)()
    return image.astype(np.float64)


def view(image: NDArray[np.float64], size: tuple[int, int], at: tuple[float, float], zoom: float = 1.0) -> NDArray[np.float64]:
    """Return (H, W, 3) of an image from row and column ``at`` on, each pixel ``1 / zoom`` of the image's wide."""
    rows, columns = np.meshgrid(*(at[axis] + np.arange(size[axis]) / zoom for axis in (0, 1)), indexing="ij")
    return np.stack([ndimage.map_coordinates(image[..., c], [rows, columns], order=1, mode="reflect") for c in range(3)], axis=-1)


def quantized(image: NDArray[np.float64], grain: float = 0.0, seed: int = 0) -> Frame:
    """Return uint8, with normal noise of so many grey levels."""
    noise = np.random.default_rng(seed).normal(0, grain, image.shape) if grain else 0.0
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def panned(
    name: str, count: int, size: tuple[int, int], step: tuple[float, float], grain: float = 0.0, zoom: float = 1.0
) -> Iterator[Frame]:
    """Yield frames of a camera that moves over a photograph, ``step`` of rows and columns a frame, and comes nearer by ``zoom`` a frame."""
    image = photo(name)
    start = [image.shape[axis] / 4 for axis in (0, 1)]
    for number in range(count):
        at = (start[0] + number * step[0], start[1] + number * step[1])
        yield quantized(view(image, size, at, zoom**number), grain, number)
