"""What is done to each value by itself: ReLU's backward pass by one bit a value; a factor and a shift for each channel, with a ReLU."""

from __future__ import annotations

from ctypes import CDLL, c_int, c_int64, c_void_p
from functools import cache

import torch
from torch import Tensor

from dreamopt.engine.native.layout import pixel_stride
from dreamopt.engine.native.library import library


@cache
def _kernels() -> CDLL:
    """Return the library, whose functions know their arguments."""
    kernels = library()
    assert kernels is not None, "the caller has asked library()"
    image: tuple[type[c_void_p], type[c_int64]] = (c_void_p, c_int64)
    kernels.dreamopt_pack.argtypes = [c_void_p, c_int64, c_int64, c_int64, c_void_p, c_int]
    kernels.dreamopt_gate.argtypes = [*image, c_void_p, *image, c_int64, c_int64, c_int]
    kernels.dreamopt_affine.argtypes = [*image, c_void_p, c_void_p, c_int, *image, c_int64, c_int64, c_int]
    kernels.dreamopt_affine_back.argtypes = [*image, *image, c_void_p, c_void_p, c_int, *image, c_int, c_int64, c_int64, c_int]
    return kernels


def _image(x: Tensor) -> tuple[int, int]:
    stride = pixel_stride(x)
    assert stride is not None, "the caller has asked is_native"
    return x.data_ptr(), stride


def _size(x: Tensor) -> tuple[int, int, int]:
    n, channels, height, width = x.shape
    return n * height * width, channels, torch.get_num_threads()


def bits_shape(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return the shape of the bytes that `pack` fills for values of shape (N, C, H, W): those of a pixel side by side."""
    n, channels, height, width = shape
    return n, height, width, -(-channels // 8)


def pack(y: Tensor, bits: Tensor) -> Tensor:
    """Write one bit for each value of ``y``, whether it is above 0, and return the bits.

    Parameters
    ----------
    y : Tensor
        (N, C, H, W), as `is_native` has it.
    bits : Tensor
        Of 8 bits, unsigned, of shape `bits_shape`.
    """
    pixels, channels, threads = _size(y)
    _kernels().dreamopt_pack(y.data_ptr(), pixels, channels, _image(y)[1], bits.data_ptr(), threads)
    return bits


def gate(grad: Tensor, bits: Tensor, out: Tensor) -> Tensor:
    """Write the gradient where its bit is 1, and 0 elsewhere whatever it is, to ``out``, which may be ``grad``; return it."""
    _kernels().dreamopt_gate(*_image(grad), bits.data_ptr(), *_image(out), *_size(grad))
    return out


def affine(x: Tensor, factor: Tensor, shift: Tensor, relu: bool, out: Tensor) -> Tensor:
    """Write ``factor x + shift``, one of each for a channel, cut off below 0 with ``relu``, to ``out``; return it."""
    _kernels().dreamopt_affine(*_image(x), factor.data_ptr(), shift.data_ptr(), relu, *_image(out), *_size(x))
    return out


def affine_back(grad: Tensor, x: Tensor | None, factor: Tensor, shift: Tensor, out: Tensor, add: bool = False) -> Tensor:
    """Write the gradient of the bottom of `affine` to ``out``, or add it there; return it.

    Parameters
    ----------
    grad : Tensor
        Of the top.
    x : Tensor, optional
        The bottom, if a ReLU cut off below 0: it is worked out again where.
    factor, shift : Tensor
        Of each channel.
    out : Tensor
        Of the bottom's shape; may be ``grad`` without ``add``.
    add : bool
        Whether it is added to what ``out`` holds.
    """
    bottom = (None, 0) if x is None else _image(x)
    rest = (factor.data_ptr(), shift.data_ptr(), x is not None, *_image(out), add, *_size(grad))
    _kernels().dreamopt_affine_back(*_image(grad), *bottom, *rest)
    return out
