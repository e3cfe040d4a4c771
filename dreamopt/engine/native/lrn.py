"""LRN across channels by the native kernels."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from dreamopt.engine.native.layout import pixel_stride
from dreamopt.engine.native.library import address, library


def lrn(x: Tensor, out: Tensor, size: int, a: float, beta: float, k: float) -> Tensor:
    """Write ``y = x s^-beta`` with ``s = k + a (the sum of x^2 over size channels)``.

    Parameters
    ----------
    x : Tensor
        The bottom, (N, C, H, W), as `is_native` has it.
    out : Tensor
        Of its shape.
    size : int
        Channels that are summed; odd.
    a, beta, k : float
        Of the formula: Caffe's ``alpha / local_size``, ``beta``, ``k``.
    """
    _run("dreamopt_lrn", x, None, out, size, (a, beta, k))
    return out


def lrn_backward(x: Tensor, grad: Tensor, out: Tensor, size: int, a: float, beta: float, k: float) -> Tensor:
    """Write ``dx = dy s^-beta - 2 a beta x (the sum of dy y / s over size channels)``; the sums of squares are computed again.

    Parameters
    ----------
    x : Tensor
        The bottom.
    grad : Tensor
        Of the top.
    out : Tensor
        Of its shape; it may be ``grad`` itself.
    size, a, beta, k
        As for `lrn`.
    """
    _run("dreamopt_lrn_backward", x, grad, out, size, (a, beta, k))
    return out


def _run(name: str, x: Tensor, grad: Tensor | None, out: Tensor, size: int, numbers: tuple[float, float, float]) -> None:
    kernels = library()
    assert kernels is not None, "the caller has asked library()"
    n, channels, height, width = x.shape
    strides = [0 if tensor is None else pixel_stride(tensor) or 0 for tensor in (x, out, grad)]
    settings = (ctypes.c_int64 * 6)(n * height * width, channels, *strides, size)
    tensors = (x, out) if grad is None else (x, grad, out)
    pointers = map(ctypes.c_void_p, map(address, tensors))
    if kernels[name](settings, *map(ctypes.c_float, numbers), *pointers, torch.get_num_threads()):
        raise MemoryError("no memory for a row of LRN's sums")
