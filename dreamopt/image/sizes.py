"""The size that transforms give an image, without making that image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dreamopt.errors import OutOfMemoryError
from dreamopt.image.moving import moves_alone
from dreamopt.image.transform import Transform
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.memory import memory_errors, require_memory
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


class _Shapes(Stream):
    """A stream whose normal numbers have a shape and no values."""

    def normal(self, purpose: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return a tensor without memory."""
        return torch.empty(tuple(shape), dtype=like.dtype, device="meta")


def seen_size(transforms: Sequence[Transform], space: ImageSpace, context: StepContext) -> tuple[int, ...]:
    """Return the (H, W) of what the net sees, for a signal or a volume its size: transforms may grow and cut the image.

    Parameters
    ----------
    transforms : sequence of Transform
        In the order in which they are applied.
    space : ImageSpace
        The image's, (C, H, W).
    context : StepContext
        The step.

    Raises
    ------
    OutOfMemoryError
        If a transform makes an image larger than the memory that is free; the image itself is its maker's to check.

    Examples
    --------
    >>> from dreamopt.image.transform import as_transforms
    >>> like = torch.zeros(())
    >>> seen_size(as_transforms(["pad(2)", "jitter(8)"]), ImageSpace((3, 20, 30), None, None, 1.0, like), StepContext())
    (24, 34)
    """
    image = torch.empty((1, *space.shape), dtype=space.like.dtype, device="meta")
    bounds = [None if bound is None else bound.to("meta") for bound in (space.low, space.high)]
    shadow = replace(context, space=replace(space, low=bounds[0], high=bounds[1], like=space.like.to("meta")))
    size, real = tuple(image.shape[2:]), replace(context, space=space)
    for place, transform in enumerate(transforms):
        before = math.prod(size)
        try:
            with torch.device("meta"):
                size = _size(transform, image, _Shapes(0, 0).fold_in(0, 0, place), shadow)
        except OutOfMemoryError:
            raise
        except Exception:  # one that looks at values, or somebody's own error, which comes again
            with memory_errors(lambda transform=transform: f"the transform {transform}"):  # type: ignore[misc]  # a default binds it
                given = space.like.expand(1, space.shape[0], *size)
                size = tuple(transform(given, [Stream(0, 0).fold_in(0, 0, place)], real).shape[2:])
        if math.prod(size) > before:
            what = f"an image of {' x '.join(map(str, reversed(size)))} pixels, which the transform {transform} makes,"
            require_memory(space.like.element_size() * space.shape[0] * math.prod(size), what, str(space.like.device))
        image = torch.empty((1, space.shape[0], *size), dtype=space.like.dtype, device="meta")
    return size


def _size(transform: Transform, image: Tensor, stream: Stream, context: StepContext) -> tuple[int, ...]:
    if image.dim() != 4 or not moves_alone(transform):
        return tuple(transform(image, [stream], context).shape[2:])
    height, width = image.shape[2:]  # moves know it: resampling without memory takes as long as a step of a small image
    for move in transform.moves(image, stream, context):
        height, width = move.size((height, width))
    return height, width
