"""Images that parts are given from outside: a file's path, or an immutable value in memory."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import ImageError
from dreamopt.parts.checks import shown


class ImageValue:
    """An image in memory as a parameter: immutable, compared by its values, printed as its hash.

    A path is no value but a reference, and stays a string, which prints, and is read once it is needed.

    Parameters
    ----------
    values : array or Tensor
        An array of grey levels, (H, W), (H, W, C) or (N, H, W, C), or a tensor of a net's input space.
    """

    def __init__(self, values: NDArray[Any] | Tensor) -> None:
        self.is_tensor = isinstance(values, Tensor)
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        self._array = np.array(array, order="C")
        self._array.setflags(write=False)
        self.sha256 = hashlib.sha256(f"{self.is_tensor}{array.shape}{array.dtype}".encode() + self._array.tobytes()).hexdigest()

    @property
    def shape(self) -> tuple[int, ...]:
        """The values' shape."""
        return self._array.shape

    def array(self) -> NDArray[Any]:
        """Return the values, read-only."""
        return self._array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageValue) and self.sha256 == other.sha256

    def __reduce__(self) -> tuple[type[ImageValue], tuple[NDArray[Any] | Tensor]]:
        # Through the constructor, so that what is copied or read from a file is read-only, too.
        return ImageValue, (torch.from_numpy(self._array.copy()) if self.is_tensor else self._array,)

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"<image {'x'.join(map(str, self.shape))} {self.sha256[:8]}>"


ReferenceImage = str | ImageValue
"""An image as a part keeps it: a file's path, or a value in memory."""


def as_image_value(image: str | os.PathLike[str] | NDArray[Any] | Tensor | ImageValue | None) -> str | ImageValue | None:
    """Return a path as a string, and an image in memory as an immutable `ImageValue`.

    Raises
    ------
    ImageError
        For anything else.

    Examples
    --------
    >>> as_image_value(np.zeros((5, 7, 3), np.uint8))
    <image 5x7x3 eb94f0dd>
    """
    if image is None or isinstance(image, ImageValue):
        return image
    if isinstance(image, str | os.PathLike):
        return os.fspath(image)
    try:
        array = image if isinstance(image, Tensor) else np.asarray(image)
        is_numeric = not array.is_complex() if isinstance(array, Tensor) else array.dtype.kind in "buif"
    except (TypeError, ValueError):  # a list of lists of different lengths
        is_numeric = False
    if not is_numeric or array.ndim == 0 or 0 in array.shape:
        raise ImageError(f"an image is a file's path, an array of numbers or a tensor, not {shown(image)}")
    return ImageValue(array)
