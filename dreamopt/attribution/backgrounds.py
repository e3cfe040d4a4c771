"""Background images: what an image is compared with where no single baseline will do."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.init import given_images
from dreamopt.image.spectrum import image_files
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.npy import read_npy
from dreamopt.parts.streams import Stream

Backgrounds = str | tuple[str, ...] | None
"""Paths of images, folders or patterns of them, ``.npy`` files of arrays in the net's input space; None for what `background_images` takes
then."""
MOST_BACKGROUNDS = 500
"""The most images that are held at once; of more, so many are drawn."""


def background_images(backgrounds: Backgrounds, space: ImageSpace, most: int, stream: Stream) -> tuple[Tensor, str]:
    """Return background images, (B, ...) in the net's input space, and in words what they are.

    Parameters
    ----------
    backgrounds : str, tuple of str, or None
        Images are scaled to cover the input and cut to their middle; a ``.npy`` file holds an array of the input's shape, or (B, ...) of
        them. None: the photographs of scikit-image; for an input that is no image, zeros.
    space : ImageSpace
        The net's.
    most : int
        B's upper end; of more, so many are drawn.
    stream : Stream
        For that draw.

    Raises
    ------
    ImageError
        Where there are none, or one that cannot be read.
    UsageError
        For an array of another shape, or with values that are not finite.
    """
    if backgrounds is None and space.low is None:
        return torch.zeros(1, *space.shape, dtype=space.like.dtype, device=space.like.device), "zeros (the input is no image)"
    sources: list[Path | Tensor] = []
    for path in (backgrounds,) if isinstance(backgrounds, str) or backgrounds is None else backgrounds:
        sources += _arrays(path, space) if path is not None and path.endswith(".npy") else image_files(path)
    drawn = sorted(stream.generator("backgrounds").permutation(len(sources))[: min(most, MOST_BACKGROUNDS)].tolist())
    images = torch.cat([_image(sources[i], space) for i in drawn])
    what = "photographs of scikit-image" if backgrounds is None else "of the given ones"
    return images, f"{len(images)} {what}"


def _image(source: Path | Tensor, space: ImageSpace) -> Tensor:
    return source if isinstance(source, Tensor) else given_images(os.fspath(source), space, 1)


def _arrays(path: str, space: ImageSpace) -> list[Tensor]:
    array = read_npy(path, "the file of backgrounds", UsageError)
    shape = tuple(space.shape)
    if array.shape not in (shape, (len(array) if array.ndim else 0, *shape)) or not array.size:
        raise UsageError(f"the file of backgrounds '{path}' has shape {array.shape}, but {shape}, or (B, ...) of that, is needed")
    if not np.isfinite(array).all():
        raise UsageError(f"the file of backgrounds '{path}' has values that are not finite")
    images = torch.from_numpy(np.ascontiguousarray(array.reshape(-1, *shape))).to(dtype=space.like.dtype, device=space.like.device)
    return list(torch.split(images, 1))
