"""Images moved several times in one call of the native kernels: windows, rolls, affine maps, noise on top; with their gradient."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dreamopt.engine.native.library import call, library

Map = tuple[float, float, float, float, float, float]
"""(r, r_y, r_x, c, c_y, c_x): pixel (y, x) of the top is what lies in row r + r_y y + r_x x and column c + c_y y + c_x x of the bottom."""
Size = tuple[int, int]
_WINDOW, _ROLL, _MAP = 0.0, 1.0, 2.0
_FARTHEST = float(1 << 30)  # pixels: places are counted in 2^-32 of one, by 64 bits


class Move(NamedTuple):
    """One move of an image.

    Parameters
    ----------
    kind : float
        Which one; made by `window`, `roll` and `affine`.
    top : (int, int)
        Height and width of what comes out.
    source : tuple of float
        Where the top's pixels come from, as in `Map`; of a window and a roll r and c alone.
    """

    kind: float
    top: Size
    source: Map


class Chain(NamedTuple):
    """What one image goes through.

    Parameters
    ----------
    moves : sequence of Move
        At least one.
    outside : Tensor
        (moves, C), what lies beyond the image at each move.
    noise : Tensor, optional
        (C, H, W) of the last move's top; added, ``weight`` times.
    weight : float
        Of the noise.
    """

    moves: Sequence[Move]
    outside: Tensor
    noise: Tensor | None = None
    weight: float = 0.0


def can_move(images: Tensor) -> bool:
    """Return whether the kernels move images, (N, C, H, W)."""
    return images.device.type == "cpu" and images.dtype == torch.float32 and library() is not None


def window(top: int, left: int, size: Size) -> Move:
    """Return the move to a window, whose first pixel lies at (top, left) of the image or beyond it."""
    return Move(_WINDOW, size, (top, 0, 0, left, 0, 0))


def roll(down: int, right: int, size: Size) -> Move:
    """Return the move round the edges of an image of this size."""
    return Move(_ROLL, size, (-down, 0, 0, -right, 0, 0))


def affine(source: Map, size: Size) -> Move | None:
    """Return an affine map to an image of another size, bilinear; None for one that reaches farther than the kernels count."""
    height, width = size
    for place, down, right in (source[:3], source[3:]):
        if not abs(place) + abs(down) * height + abs(right) * width < _FARTHEST:
            return None
    return Move(_MAP, size, source)


class Moved(torch.autograd.Function):
    """Images (N, C, H, W), each by its own `Chain` to the same size.

    Examples
    --------
    >>> image = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    >>> if can_move(image):
    ...     chain = Chain([roll(0, 1, (1, 3)), affine((0, 1, 0, -0.5, 0, 1), (1, 2))], torch.zeros(2, 1))
    ...     assert Moved.apply(image, [chain]).flatten().tolist() == [1.5, 2.0]
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, chains: Sequence[Chain]) -> Tensor:
        """Return the images, (N, C, height, width)."""
        images = images.contiguous()
        channels, ctx.shape = images.shape[1], images.shape
        ctx.moves = [_numbers(chain.moves, images.shape[2:]) for chain in chains]
        top = images.new_empty(len(images), channels, *chains[0].moves[-1].top)
        for image, moved, chain, moves in zip(images, top, chains, ctx.moves, strict=True):
            outside, noise = chain.outside.contiguous(), None if chain.noise is None else chain.noise.contiguous()
            numbers = (noise, float(chain.weight), image, moved, torch.get_num_threads())
            call("moves", channels, len(chain.moves), moves, outside, *numbers)
        return top

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient at the images; colours outside and noise have none."""
        gradient = gradient.contiguous()
        bottom = gradient.new_empty(ctx.shape)
        for one, below, moves in zip(gradient, bottom, ctx.moves, strict=True):
            call("moves_back", bottom.shape[1], len(moves) // 11, moves, one, below, torch.get_num_threads())
        return bottom, None


def moved(images: Tensor, chains: Sequence[Chain]) -> Tensor:
    """Return `Moved` of images; only where `can_move`."""
    after: Tensor = Moved.apply(images, chains)  # type: ignore[no-untyped-call]  # torch's own stub
    return after


def _numbers(moves: Sequence[Move], size: Sequence[int]) -> Any:
    numbers: list[float] = []
    for move in moves:
        numbers += (move.kind, *size, *move.top, *move.source)
        size = move.top
    return (ctypes.c_double * len(numbers))(*numbers)
