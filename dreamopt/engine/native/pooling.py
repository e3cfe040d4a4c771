"""MAX pooling by the native kernels, with the place of each largest value in one byte."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from dreamopt.engine.native.layout import pixel_stride
from dreamopt.engine.native.library import address, library

MOST_CELLS = 255
"""Of a window: places are numbered from 0 to 254, and 255 means that no gradient goes back."""


class Windows(NamedTuple):
    """How windows move over the maps; those that reach beyond the border are cut."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]


def max_pool(x: Tensor, out: Tensor, windows: Windows, places: Tensor | None = None, masked: bool = False) -> Tensor:
    """Write the largest value of each window, and where it was.

    Parameters
    ----------
    x : Tensor
        The bottom, (N, C, H, W), as `is_native` has it.
    out : Tensor
        Of the top's shape.
    windows : Windows
        Of at most `MOST_CELLS` places; each has at least one inside of the maps.
    places : Tensor, optional
        Bytes, of the top's shape, channels-last without gaps.
    masked : bool
        Whether a largest value that is not above 0 is noted as one that no gradient goes back to: the bottom is a ReLU's result.

    Notes
    -----
    Of equal values the first counts; what is not a number counts as the largest.
    """
    kernels = library()
    assert kernels is not None, "the caller has asked library()"
    sizes = _sizes(tuple(x.shape), pixel_stride(x), out, windows, masked, False)
    kernels.dreamopt_max_pool(sizes, *map(ctypes.c_void_p, map(address, (x, out, places))), torch.get_num_threads())
    return out


def max_pool_backward(grad: Tensor, places: Tensor, out: Tensor, windows: Windows, add: bool = False) -> Tensor:
    """Write the bottom's gradient, or add it to what ``out`` holds.

    Parameters
    ----------
    grad : Tensor
        Of the top, as `is_native` has it.
    places : Tensor
        From `max_pool`.
    out : Tensor
        Of the bottom's shape.
    windows : Windows
        As `max_pool` had them.
    add : bool
        Whether it is added.
    """
    kernels = library()
    assert kernels is not None, "the caller has asked library()"
    sizes = _sizes(tuple(out.shape), pixel_stride(out), grad, windows, False, add)
    kernels.dreamopt_max_pool_backward(sizes, *map(ctypes.c_void_p, map(address, (grad, places, out))), torch.get_num_threads())
    return out


def _sizes(
    bottom: tuple[int, ...], pixel: int | None, top: Tensor, windows: Windows, masked: bool, add: bool
) -> ctypes.Array[ctypes.c_int64]:
    n, channels, height, width = bottom
    there = pixel_stride(top)
    assert pixel is not None
    assert there is not None
    return (ctypes.c_int64 * 16)(
        n, height, width, channels, pixel, *top.shape[2:], there, *windows.kernel, *windows.stride, *windows.pad, masked, add
    )  # fmt: skip
