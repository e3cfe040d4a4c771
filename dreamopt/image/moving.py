"""Transforms that move an image without looking at it, and lists of transforms: those that stand side by side move it in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeGuard

from torch import Tensor

from dreamopt.engine.native.moves import can_move
from dreamopt.image.moves import Move, Moves, Noised, moved
from dreamopt.image.transform import Transform
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream

_LARGEST = 1 << 21  # pixels of an image that is moved several times in one call; larger ones one by one, which takes less memory


class Moving(Transform):
    """A transform that says by `moves` what it does to each item."""

    def moves(self, image: Tensor, stream: Stream, context: StepContext) -> Moves:
        """Return what one item goes through; none where it stays as it is.

        Parameters
        ----------
        image : Tensor
            (N, C, H, W), whose values are not looked at: they may not be there yet.
        stream, context
            As in `dreamopt.image.transform.Transform.apply`, of one item.
        """
        raise AssertionError(f"{type(self).__name__} does not say how it moves")

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return each item moved by what it draws."""
        return moved(image, [self.moves(image, stream, context) for stream in streams])


def moves_alone(transform: Transform) -> TypeGuard[Moving]:
    """Return whether `Moving.moves` says all that a transform does."""
    return isinstance(transform, Moving) and type(transform).apply is Moving.apply


def apply_transforms(
    transforms: Sequence[Transform], image: Tensor, streams: Callable[[int], Sequence[Stream]], context: StepContext
) -> Tensor:
    """Return images (N, C, H, W) under transforms in their order; ``streams`` gives each item's, by the transform's place in the list.

    What comes out has the bits that one transform after the other gives.

    >>> import torch
    >>> from dreamopt.image.transform import as_transforms
    >>> x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    >>> apply_transforms(as_transforms(["pad(1)", "center_crop(1, 3)"]), x, lambda place: [Stream(0, 0)], StepContext())
    tensor([[[[1., 2., 3.]]]])
    """
    waiting: list[list[Move]] = []  # of each item
    size = image
    for place, transform in enumerate(transforms):
        if not moves_alone(transform) or size.dim() != 4 or not can_move(size) or size.shape[2] * size.shape[3] > _LARGEST:
            image = transform(moved(image, waiting), streams(place), context)
            size, waiting = image, []
            continue
        own = [transform.moves(size, stream, context) for stream in streams(place)]
        if waiting and any(before and isinstance(before[-1], Noised) for before in waiting):
            image, waiting = moved(image, waiting), []
        waiting = [[*before, *after] for before, after in zip(waiting or [[]] * len(own), own, strict=True)]
        height, width = size.shape[2:]
        for move in own[0]:
            height, width = move.size((height, width))
        if (height, width) != tuple(size.shape[2:]):
            size = image[:1, :1, :1, :1].expand(1, image.shape[1], height, width)
    return moved(image, waiting)
