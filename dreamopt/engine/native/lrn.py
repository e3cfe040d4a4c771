"""LRN across channels by the native kernels."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from dreamopt.engine.native.layout import extent, image
from dreamopt.engine.native.library import call


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
    call("lrn", _settings(x, out, None, size), float(a), float(beta), float(k), x, out, torch.get_num_threads())
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
    call("lrn_backward", _settings(x, out, grad, size), float(a), float(beta), float(k), x, grad, out, torch.get_num_threads())
    return out


def _settings(x: Tensor, out: Tensor, grad: Tensor | None, size: int) -> ctypes.Array[ctypes.c_int64]:
    pixels, channels, _ = extent(x)
    return (ctypes.c_int64 * 6)(pixels, channels, image(x)[1], image(out)[1], 0 if grad is None else image(grad)[1], size)
