"""What is done to each value by itself: ReLU's backward pass by one bit a value; a factor and a shift for each channel, with a ReLU."""

from __future__ import annotations

from torch import Tensor

from dreamopt.engine.native.layout import extent, image
from dreamopt.engine.native.library import call


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
    call("pack", *image(y), bits, *extent(y))
    return bits


def gate(grad: Tensor, bits: Tensor, out: Tensor) -> Tensor:
    """Write the gradient where its bit is 1, and 0 elsewhere whatever it is, to ``out``, which may be ``grad``; return it."""
    call("gate", *image(grad), bits, *image(out), *extent(grad))
    return out


def affine(x: Tensor, factor: Tensor, shift: Tensor, relu: bool, out: Tensor) -> Tensor:
    """Write ``factor x + shift``, one of each for a channel, cut off below 0 with ``relu``, to ``out``; return it."""
    call("affine", *image(x), factor, shift, relu, *image(out), *extent(x))
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
    bottom = (None, 0) if x is None else image(x)
    call("affine_back", *image(grad), *bottom, factor, shift, x is not None, *image(out), add, *extent(grad))
    return out
