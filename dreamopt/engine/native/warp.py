"""An affine map of images by the native kernels, bilinear, with its gradient."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from dreamopt.engine.native.library import call, library

Map = tuple[float, float, float, float, float, float]
"""(r, r_y, r_x, c, c_y, c_x): pixel (y, x) of the top is what lies in row r + r_y y + r_x x and column c + c_y y + c_x x of the bottom."""


def can_warp(item: Tensor) -> bool:
    """Return whether the kernels map such an image, (C, H, W)."""
    return item.device.type == "cpu" and item.dtype == torch.float32 and library() is not None


class Warp(torch.autograd.Function):
    """One image (C, H, W) under an affine `Map`, of another size (height, width); ``outside``, (C,), lies beyond it.

    Examples
    --------
    >>> if library() is not None:
    ...     moved = Warp.apply(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.zeros(1), (0, 1, 0, -0.5, 0, 1), (1, 3))
    ...     assert moved.tolist() == [[[0.5, 1.5, 2.5]]]
    """

    @staticmethod
    def forward(ctx: Any, item: Tensor, outside: Tensor, source: Map, size: tuple[int, int]) -> Tensor:
        """Return the image, (C, height, width)."""
        item, outside = item.contiguous(), outside.contiguous()
        top = item.new_empty(item.shape[0], *size)
        ctx.sizes, ctx.map = (ctypes.c_int64 * 5)(*item.shape, *size), (ctypes.c_double * 6)(*source)
        ctx.shape = item.shape
        call("warp", ctx.sizes, ctx.map, item, outside, top, torch.get_num_threads())
        return top

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the gradient at the image; the colour outside has none."""
        gradient = gradient.contiguous()
        bottom = gradient.new_empty(ctx.shape)
        call("warp_back", ctx.sizes, ctx.map, gradient, bottom, torch.get_num_threads())
        return bottom, None, None, None


def warped(item: Tensor, outside: Tensor, source: Map, size: tuple[int, int]) -> Tensor:
    """Return `Warp` of an image (C, H, W), whatever ``outside``, (C, 1, 1), is kept as; only where `can_warp`."""
    moved: Tensor = Warp.apply(item, outside.detach().to(item).flatten(), source, size)  # type: ignore[no-untyped-call]  # torch's own stub
    return moved
