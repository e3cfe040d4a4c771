"""Masks: where in an image lies what its score is about."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import ImageError, UsageError
from dreamopt.image.covering import covering
from dreamopt.image.files import read_image
from dreamopt.parts.checks import shown

Mask = NDArray[np.bool_]


def mask_at(mask: Any, image: Any, size: tuple[int, int]) -> Mask:
    """Return a mask as the net sees it: scaled to cover a size and cut to its middle, as its image is.

    Parameters
    ----------
    mask : path or array
        A file, what is brighter than middle grey in it; or an array (H, W), what is not 0 in it.
    image : path, array or tensor
        Its image, of the same height and width.
    size : (int, int)
        The net's input.

    Raises
    ------
    ImageError
        For a mask that cannot be read, and one of another size than its image.

    Examples
    --------
    >>> mask_at(np.eye(2, 3), np.zeros((2, 3, 3)), (2, 3)).tolist()
    [[True, False, False], [False, True, False]]
    """
    if isinstance(mask, str | os.PathLike):
        what = os.fspath(mask)
        values = np.asarray(read_image(what)).max(2) > 127
    else:
        what = "a mask"
        array = np.asarray(mask)
        if array.ndim != 2 or not array.size or array.dtype.kind not in "buif":
            raise ImageError(f"a mask is a file's path or an array (H, W), not {shown(mask)}")
        values = array != 0
    expected = _size_of(image)
    if values.shape != expected:
        raise ImageError(f"{what} is {values.shape[0]}x{values.shape[1]}, but its image is {expected[0]}x{expected[1]} (height x width)")
    levels: NDArray[Any] = np.asarray(covering(values.astype(np.uint8) * np.uint8(255), size))
    return np.asarray(levels > 127)


def _size_of(image: Any) -> tuple[int, ...]:
    if isinstance(image, str | os.PathLike):
        return tuple(read_image(os.fspath(image)).shape[:2])
    shape = tuple(np.shape(image))
    return shape[-2:] if type(image).__module__.startswith("torch") else shape[:2]


def masks_of(folder: str | os.PathLike[str], images: Sequence[str]) -> list[str | None]:
    """Return the PNG of a folder that has each image's stem; None where there is none.

    Raises
    ------
    UsageError
        For a folder that has none for any of them.
    """
    found = [Path(folder, f"{Path(image).stem}.png") for image in images]
    masks = [str(path) if os.path.isfile(path) else None for path in found]  # Path.is_file raises for a name that is too long
    if not any(masks):
        raise UsageError(
            f"{os.fspath(folder)} holds no mask for any of the images; a mask is a PNG of its image's name, as {found[0].name}"
        )
    return masks
