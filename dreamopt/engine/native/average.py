"""AVE pooling by the native kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.native.layout import pixel_stride
from dreamopt.engine.native.library import address, library


def average(x: Tensor, out: Tensor, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int]) -> Tensor:
    """Write the average of each window to ``out``; return it.

    Parameters
    ----------
    x : Tensor
        The bottom, (N, C, H, W), as `is_native` has it.
    out : Tensor
        Of the top's shape; the windows may reach beyond the padding, or begin there, and are then 0.
    kernel, stride, pad : (int, int)
        How windows move; the sum is divided by the part of a window that lies in the map or its padding.
    """
    _run("dreamopt_average", x, out, x, out, (kernel, stride, pad), False)
    return out


def average_back(grad: Tensor, out: Tensor, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], add: bool = False) -> Tensor:
    """Write the bottom's gradient to ``out``, or add it to what is there; return it.

    Parameters
    ----------
    grad : Tensor
        Of the top, as `is_native` has it.
    out : Tensor
        Of the bottom's shape.
    kernel, stride, pad : (int, int)
        As for `average`.
    add : bool
        Whether it is added.
    """
    _run("dreamopt_average_back", out, grad, grad, out, (kernel, stride, pad), add)
    return out


def _run(name: str, bottom: Tensor, top: Tensor, source: Tensor, target: Tensor, windows: Sequence[Sequence[int]], add: bool) -> None:
    kernels = library()
    assert kernels is not None, "the caller has asked library()"
    n, channels, height, width = bottom.shape
    below, there = pixel_stride(bottom), pixel_stride(top)
    assert below is not None, "the caller has asked is_native"
    assert there is not None, "the caller has asked is_native"
    numbers = [n, height, width, channels, below, *top.shape[2:], there, *(number for pair in windows for number in pair), add]
    pointers = (ctypes.c_void_p(address(x)) for x in (source, target))
    kernels[name]((ctypes.c_int64 * len(numbers))(*numbers), *pointers, ctypes.c_int(torch.get_num_threads()))
