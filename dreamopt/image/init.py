"""Images that an optimization starts from: a file, an image in memory, or a tensor of the net's input space."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import ImageError
from dreamopt.image.colour import LUMINANCE
from dreamopt.image.files import covering, read_image
from dreamopt.parts.image_space import ImageSpace


class Held:
    """An image in memory as a setting: immutable, compared by its values, printed as its hash."""

    def __init__(self, values: NDArray[Any] | Tensor) -> None:
        self.is_tensor = isinstance(values, Tensor)
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        self._array = np.array(array, order="C")
        self._array.setflags(write=False)
        self._hash = hashlib.sha256(f"{self.is_tensor}{array.shape}{array.dtype}".encode() + self._array.tobytes()).hexdigest()

    @property
    def shape(self) -> tuple[int, ...]:
        """The values' shape."""
        return self._array.shape

    def array(self) -> NDArray[Any]:
        """Return the values, read-only."""
        return self._array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Held) and self._hash == other._hash

    def __hash__(self) -> int:
        return hash(self._hash)

    def __repr__(self) -> str:
        return f"<image {'x'.join(map(str, self.shape))} {self._hash[:8]}>"


Init = str | os.PathLike[str] | NDArray[Any] | Tensor | Held | None
"""What a parametrization takes as ``init``: an image's path, an array (H, W, 3) RGB 0-255 (or (H, W, C)), or a tensor
(C, H, W) or (N, C, H, W) in the net's input space."""


def held(init: Init) -> str | Held | None:
    """Return a path as a string, and an image in memory as an immutable `Held`.

    >>> held(np.zeros((5, 7, 3), np.uint8))
    <image 5x7x3 eb94f0dd>
    """
    if init is None or isinstance(init, Held):
        return init
    return os.fspath(init) if isinstance(init, str | os.PathLike) else Held(init)


def given_images(init: str | Held, space: ImageSpace, n: int) -> Tensor:
    """Return the images to start from, (N, ...), in the net's input space.

    An image of another size is scaled to cover the image space and cut to its middle; a tensor must fit.

    Raises
    ------
    ImageError
        For a file that cannot be read, or an image that does not fit the image space.
    """
    if isinstance(init, Held) and init.is_tensor:
        values = torch.from_numpy(init.array().copy())
        if init.shape not in ((*space.shape,), (n, *space.shape)):
            raise ImageError(f"the image to start from has shape {init.shape}, but {space.shape} or {(n, *space.shape)} is needed")
    else:
        values = torch.from_numpy(_planes(read_image(init) if isinstance(init, str) else init.array(), space))
    given = values.to(dtype=space.like.dtype, device=space.like.device)
    if not (isinstance(init, Held) and init.is_tensor):
        assert space.black is not None
        given = space.black + space.grey_step * given
    return given.expand(n, *space.shape).clone()


def _planes(picture: NDArray[Any], space: ImageSpace) -> NDArray[np.float64]:
    """Return an image's grey levels as planes (C, H, W) in the image space's channel order."""
    if len(space.shape) != 3 or space.low is None:
        raise ImageError(f"a picture cannot be the start of a vector of {space.shape}; give a tensor of that shape")
    channels, *size = space.shape
    array = np.asarray(picture)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3 and array.shape[2] == 1 and channels in (1, 3):
        array = np.repeat(array, 3, axis=2)
    if array.ndim == 3 and array.shape[2] == 3 and channels in (1, 3):
        if list(array.shape[:2]) != size:
            array = covering(np.clip(np.rint(array), 0, 255).astype(np.uint8), size)
        array = array if channels == 3 else (array @ np.array(LUMINANCE))[..., None]
    if array.shape != (*size, channels):
        many = f"pictures have 3 channels; for {channels} give" if array.ndim == 3 and array.shape[2] == 3 else "give"
        raise ImageError(f"a picture of shape {array.shape} does not fit the canvas {space.shape}: {many} (H, W, C) = {(*size, channels)}")
    if channels >= 3 and space.order == "BGR":
        array = np.concatenate([array[..., 2::-1], array[..., 3:]], axis=-1)
    return np.ascontiguousarray(np.moveaxis(array.astype(np.float64), -1, 0))
