"""What transforms do to one image without looking at it: windows, rolls, affine maps, noise; and several of them in one native call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamopt.engine.native import moves as native
from dreamopt.image.filters import gather
from dreamopt.image.per_sample import samples_of, stacked
from dreamopt.image.resample import mapped_from, resample
from dreamopt.image.warp import Matrix, map_of, warp


class Move:
    """One move of one image, (C, H, W)."""

    def apply(self, item: Tensor) -> Tensor:
        """Return the moved image, differentiable, by torch's operators."""
        raise AssertionError(f"{type(self).__name__} does not say how it moves")

    def native(self, size: tuple[int, int]) -> native.Move | None:
        """Return what the native kernels make of it, for an image of this size; None where torch alone can."""
        return None

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size of what comes out."""
        return size

    def colour(self) -> Tensor | None:
        """Return what lies beyond the image, (C, 1, 1); None where nothing does."""
        return None


@dataclass(frozen=True, eq=False)
class Roll(Move):
    """Downwards and to the right, round the edges."""

    down: int
    right: int

    def apply(self, item: Tensor) -> Tensor:
        """Return the rolled image."""
        return item.roll((self.down, self.right), (1, 2))

    def native(self, size: tuple[int, int]) -> native.Move:
        """Return the kernels' roll."""
        return native.roll(self.down, self.right, size)


@dataclass(frozen=True, eq=False)
class Window(Move):
    """A part of the image, or more than that.

    Parameters
    ----------
    top, left : int
        Where its first pixel lies in the image; may be negative.
    height, width : int
        Its size.
    outside : Tensor, optional
        (C, 1, 1), what lies beyond the image; None where nothing does.
    places : (Tensor, Tensor), optional
        Which rows and columns of the image it shows, where what lies beyond is the image itself.
    """

    top: int
    left: int
    height: int
    width: int
    outside: Tensor | None = None
    places: tuple[Tensor, Tensor] | None = None

    def apply(self, item: Tensor) -> Tensor:
        """Return the window."""
        if self.places is not None:
            return gather(gather(item, 1, self.places[0]), 2, self.places[1])
        (rows, to_rows), (columns, to_columns) = (
            _overlap(first, count, side) for first, count, side in zip((self.top, self.left), self.size(()), item.shape[1:], strict=True)
        )
        part = item[:, rows, columns]
        if tuple(part.shape[1:]) == self.size(()) or self.outside is None:
            return part
        framed = self.outside.expand(len(item), *self.size(())).clone()
        framed[:, to_rows, to_columns] = part
        return framed

    def native(self, size: tuple[int, int]) -> native.Move | None:
        """Return the kernels' window."""
        return native.window(self.top, self.left, self.size(size)) if self.places is None else None

    def size(self, size: tuple[int, ...]) -> tuple[int, int]:
        """Return the window's."""
        return self.height, self.width

    def colour(self) -> Tensor | None:
        """Return what lies beyond the image."""
        return self.outside


def _overlap(first: int, count: int, side: int) -> tuple[slice, slice]:
    """Return which places of a side lie in a window, and where there."""
    begin, end = max(0, first), max(0, first, min(side, first + count))
    return slice(begin, end), slice(begin - first, end - first)


@dataclass(frozen=True, eq=False)
class Mapped(Move):
    """An affine map about the centre: `dreamopt.image.warp.warp`."""

    source: Matrix
    shift: tuple[float, float]
    outside: Tensor

    def apply(self, item: Tensor) -> Tensor:
        """Return the image under the map."""
        return warp(item, self.source, self.shift, self.outside)

    def native(self, size: tuple[int, int]) -> native.Move | None:
        """Return the kernels' map."""
        return native.affine(map_of(size, self.source, self.shift), size)

    def colour(self) -> Tensor | None:
        """Return what lies beyond the image."""
        return self.outside


@dataclass(frozen=True, eq=False)
class Resampled(Move):
    """A box of the image stretched to a size: `dreamopt.image.resample.resample`."""

    box: tuple[float, float, float, float]
    into: tuple[int, int]
    outside: Tensor
    antialias: bool

    def apply(self, item: Tensor) -> Tensor:
        """Return the box."""
        return resample(item, self.box, self.into, outside=self.outside, antialias=self.antialias)

    def native(self, size: tuple[int, int]) -> native.Move | None:
        """Return the kernels' map."""
        return None if self.antialias else native.affine(mapped_from(self.box, self.into), self.into)

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size it is stretched to."""
        return self.into

    def colour(self) -> Tensor | None:
        """Return what lies beyond the image."""
        return self.outside


@dataclass(frozen=True, eq=False)
class Noised(Move):
    """Weighted numbers, (C, H, W), added to the image."""

    numbers: Tensor
    weight: float

    def apply(self, item: Tensor) -> Tensor:
        """Return the sum."""
        return torch.add(item, self.numbers, alpha=self.weight)


Moves = Sequence[Move]


def moved(images: Tensor, moves: Sequence[Moves]) -> Tensor:
    """Return images (N, C, H, W) after the moves of each, all to one size; what nothing moves, as it is.

    >>> moved(torch.tensor([[[[1.0, 2.0, 3.0]]]]), [[Roll(0, 1), Window(0, 0, 1, 2)]])
    tensor([[[[3., 1.]]]])
    """
    if not any(moves):
        return images
    if not native.can_move(images):
        return stacked([_by_torch(item, own) for item, own in zip(samples_of(images), moves, strict=True)])
    chains = [_chain(images, own) for own in moves]
    able = [chain for chain in chains if chain is not None]
    if len(able) == len(chains):
        return native.moved(images, able)
    # Each by itself, so that what is in a batch beside an image does not change how it is moved.
    after = []
    for item, own, chain in zip(samples_of(images), moves, chains, strict=True):
        after.append(_by_torch(item, own) if chain is None else native.moved(item.unsqueeze(0), [chain]).squeeze(0))
    return stacked(after)


def _by_torch(item: Tensor, moves: Moves) -> Tensor:
    for move in moves:
        item = move.apply(item)
    return item


def _chain(images: Tensor, moves: Moves) -> native.Chain | None:
    """Return what the kernels make of the moves of one image; None where torch's operators are needed."""
    size, made, outside = (images.shape[2], images.shape[3]), list[native.Move](), list[Tensor]()
    noise: Noised | None = None
    for move in moves:
        if noise is not None:
            return None  # what is under noise is moved no further in the same call
        if isinstance(move, Noised):
            noise = move
            continue
        one = move.native(size)
        if one is None:
            return None
        made.append(one)
        colour = move.colour()
        outside.append(images.new_zeros(images.shape[1]) if colour is None else colour.flatten())
        size = one.top
    if not made:
        made, outside = [native.window(0, 0, size)], [images.new_zeros(images.shape[1])]
    return native.Chain(made, torch.stack(outside), *(() if noise is None else (noise.numbers, noise.weight)))
