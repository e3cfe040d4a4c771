"""How strong each frequency is in photographs: the user's own images, or those that come with scikit-image."""

from __future__ import annotations

import glob
import importlib.util
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dreamopt.errors import ImageError
from dreamopt.image.colour import LUMINANCE
from dreamopt.image.files import covering, read_image
from dreamopt.image.modes import Levels
from dreamopt.parts.npy import read_npy

PHOTOGRAPHS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
"""The photographs of things in scikit-image's data folder; those that are not on this disk are left out, never fetched."""
Directions = tuple[tuple[float, ...], ...]
_SUFFIXES = {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def image_files(pictures: str | None) -> list[Path]:
    """Return the files of a folder, a glob or a path; for None the photographs in scikit-image's folder.

    Raises
    ------
    ImageError
        Where there are none.

    Examples
    --------
    >>> any(path.name == "astronaut.png" for path in image_files(None))
    True
    """
    if pictures is None:
        found = importlib.util.find_spec("skimage")
        folder = Path(str(found.origin)).parent / "data" if found is not None else Path()
        files = [folder / name for name in PHOTOGRAPHS if (folder / name).is_file()]
        if not files:
            raise ImageError("scikit-image is not installed with its photographs; give a folder of pictures of your own")
        return files
    # Of os.path: a name that is too long, or of an unknown user, is no folder, and no error either.
    place = os.path.expanduser(Path(pictures))
    if os.path.isdir(place):
        files = sorted(path for path in Path(place).rglob("*") if path.suffix.lower() in _SUFFIXES)
    else:
        files = sorted(map(Path, glob.glob(place, recursive=True)))
    if not files:
        raise ImageError(f"there are no pictures at '{pictures}'; give a folder, a file, or a pattern as 'photos/*.jpg'")
    return files


@lru_cache(maxsize=16)
def magnitudes(pictures: str | None, channels: int, size: tuple[int, int], directions: Directions | None) -> Tensor:
    r"""Return the mean strength of each frequency, (C, H, W // 2 + 1), float64.

    .. math:: m = \operatorname{mean}_i |\mathcal{F}(h \cdot (u_i - \bar u))|

    over each image, its four overlapping corners, all scaled to cover the size, and their mirror images; u are the channels in
    parts of the range, mixed along ``directions``. The mean colour of all is taken off, so that the strength of frequency 0 says
    how much the images differ in brightness and tint; and h is a Hann window, since an image's opposite edges do not meet,
    which would show as lines across.

    Parameters
    ----------
    pictures : str, optional
        A folder, a glob, a file; or a ``.npy`` file with strengths, (C, h, w), which is brought to this size; None: the
        photographs of scikit-image.
    channels : int
        C. For other than 3 every channel has the strengths of the luminance.
    size : (int, int)
        (H, W).
    directions : tuple of tuple of float, optional
        Rows of the matrix (3, 3) from mixed channels to red, green and blue; None for channels as they are.
    """
    if pictures is not None and pictures.endswith(".npy"):
        return _measured(pictures, channels, size)
    planes = [plane for path in image_files(pictures) for plane in _cuttings(read_image(path, _enough(size)), size)]
    colours = np.stack(planes) / 255.0
    colours = colours - colours.mean((0, 1, 2))
    if channels != 3:
        mixed = np.repeat(colours @ np.array(LUMINANCE)[:, None], channels, axis=-1)
    else:
        mixed = colours if directions is None else colours @ np.linalg.inv(np.array(directions)).T
    window = _hann(size[0])[:, None, None] * _hann(size[1])[:, None]
    strengths = np.abs(np.fft.rfft2(mixed * window, axes=(1, 2)))
    # The mirror image has the strengths of the rows in opposite order.
    rows = -np.arange(size[0]) % size[0]
    mean = (strengths.mean(0) + strengths[:, rows].mean(0)) / 2
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(mean, -1, 0)))


def _enough(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size of an image whose overlapping corners, of two thirds each, still have the size asked for."""
    return (-(-3 * size[0] // 2), -(-3 * size[1] // 2))


def _cuttings(picture: Levels, size: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Return the whole image and its four overlapping corners, each scaled to the size."""
    height, width = picture.shape[:2]
    tall, wide = max(1, 2 * height // 3), max(1, 2 * width // 3)
    corners = [picture[y : y + tall, x : x + wide] for y in (0, height - tall) for x in (0, width - wide)]
    return [covering(part, size).astype(np.float64) for part in (picture, *corners)]


def _hann(side: int) -> NDArray[np.float64]:
    return np.hanning(side + 2)[1:-1]  # without the ends, which are 0


def _measured(path: str, channels: int, size: tuple[int, int]) -> Tensor:
    values = read_npy(path, "the strengths", ImageError, kinds="iufc")
    if values.ndim != 3 or values.shape[0] != channels or not np.isfinite(np.abs(values)).all():
        raise ImageError(f"{path} must hold finite strengths (C, h, w) with C = {channels}, not {values.shape}")
    strengths = torch.from_numpy(np.abs(values).astype(np.float64))[None]
    return functional.interpolate(strengths, size=(size[0], size[1] // 2 + 1), mode="bilinear", align_corners=False)[0]
