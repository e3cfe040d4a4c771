"""The sum of two images with the ReLU behind it, and slopes below 0, by the native kernels."""

from __future__ import annotations

from ctypes import CDLL, c_int, c_int64, c_void_p

import torch
from torch import Tensor

from dreamopt.engine.native.layout import pixel_stride
from dreamopt.engine.native.library import address, library


def add(a: Tensor, b: Tensor, out: Tensor, relu: bool, bits: Tensor | None = None) -> Tensor:
    """Write ``a + b``, cut off below 0 with ``relu``, to ``out``; return it.

    Parameters
    ----------
    a, b : Tensor
        (N, C, H, W), as `is_native` has it.
    out : Tensor
        Of their shape; it may be one of them.
    relu : bool
        Whether what is below 0 becomes 0.
    bits : Tensor, optional
        Where to write one bit for each value of the result, as `dreamopt.engine.native.pointwise.pack` does.
    """
    where = [*_image(a), *_image(b), *_image(out)]
    _library().dreamopt_sum(*where, c_int(relu), _pointer(bits), *_size(a))
    return out


def slope(x: Tensor, slopes: Tensor, out: Tensor, bits: Tensor | None = None) -> Tensor:
    """Write ``max(x, 0) + a min(x, 0)`` to ``out``; return it.

    Parameters
    ----------
    x : Tensor
        (N, C, H, W), as `is_native` has it.
    slopes : Tensor
        a, of shape (C,).
    out : Tensor
        Of x's shape; it may be x.
    bits : Tensor, optional
        Where to write one bit for each value, whether x is above 0; of shape `bits_shape`.
    """
    _library().dreamopt_slope(*_image(x), _pointer(slopes), *_image(out), _pointer(bits), *_size(x))
    return out


def slope_back(grad: Tensor, bits: Tensor, slopes: Tensor, out: Tensor) -> Tensor:
    """Write the gradient where its bit is 1, and a times it elsewhere, to ``out``, which may be ``grad``; return it."""
    _library().dreamopt_slope_back(*_image(grad), _pointer(bits), _pointer(slopes), *_image(out), *_size(grad))
    return out


def _library() -> CDLL:
    kernels = library()
    assert kernels is not None, "the caller has asked library()"
    return kernels


def _pointer(tensor: Tensor | None) -> c_void_p:
    return c_void_p(address(tensor))


def _image(x: Tensor) -> tuple[c_void_p, c_int64]:
    stride = pixel_stride(x)
    assert stride is not None, "the caller has asked is_native"
    return _pointer(x), c_int64(stride)


def _size(x: Tensor) -> tuple[c_int64, c_int64, c_int]:
    n, channels, height, width = x.shape
    return c_int64(n * height * width), c_int64(channels), c_int(torch.get_num_threads())
