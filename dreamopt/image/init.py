"""Images that an optimization starts from: a file, an image in memory, or a tensor of the net's input space."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import ImageError
from dreamopt.image.channels import planes_of
from dreamopt.image.files import covering, read_image
from dreamopt.image.reference import ImageValue
from dreamopt.parts.image_space import ImageSpace

Init = str | os.PathLike[str] | NDArray[Any] | Tensor | ImageValue | None
"""What a parametrization takes as ``init``: an image's path, an array (H, W, 3) RGB 0-255 (or (H, W, C)), or a tensor
(C, H, W) or (N, C, H, W) in the net's input space."""


def given_images(init: str | ImageValue, space: ImageSpace, n: int) -> Tensor:
    """Return the images to start from, (N, ...), in the net's input space.

    An image of another size is scaled to cover the image space and cut to its middle, and becomes channels by
    `dreamopt.image.channels.planes_of`; a tensor must fit.

    Raises
    ------
    ImageError
        For a file that cannot be read, or an image that does not fit the image space.
    """
    if isinstance(init, ImageValue) and init.is_tensor:
        values = torch.from_numpy(init.array().copy())
        if init.shape not in ((*space.shape,), (n, *space.shape)):
            raise ImageError(f"the image to start from has shape {init.shape}, but {space.shape} or {(n, *space.shape)} is needed")
    else:
        values = torch.from_numpy(_planes(read_image(init, space.shape[-2:]) if isinstance(init, str) else init.array(), space))
    given = values.to(dtype=space.like.dtype, device=space.like.device)
    if not (isinstance(init, ImageValue) and init.is_tensor):
        assert space.black is not None
        given = space.black + space.grey_step * given
    return given.expand(n, *space.shape).clone()


def _planes(picture: NDArray[Any], space: ImageSpace) -> NDArray[np.float64]:
    """Return an image's grey levels as planes (C, H, W) in the image space's channel order."""
    if len(space.shape) != 3 or space.low is None:
        raise ImageError(f"an image cannot be the start of an input of shape {space.shape}; give a tensor of that shape")
    channels, *size = space.shape
    array = np.asarray(picture)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3 and array.shape[2] in (1, 3) and list(array.shape[:2]) != size:
        photograph = np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array
        array = covering(photograph, size)
    if list(array.shape[:2]) == size and array.ndim == 3 and array.shape[2] in (1, 3, channels):
        return np.ascontiguousarray(planes_of(array, channels, space.order))
    fit = f"give (H, W, C) = {(*size, channels)}, or a photograph (H, W, 3) of any size"
    raise ImageError(f"an image of shape {array.shape} does not fit the canvas {space.shape}: {fit}")
