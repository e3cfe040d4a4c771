"""The sum of two images with the ReLU behind it, and slopes below 0, by the native kernels."""

from __future__ import annotations

from torch import Tensor

from dreamopt.engine.native.layout import extent, image
from dreamopt.engine.native.library import call


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
    call("sum", *image(a), *image(b), *image(out), relu, bits, *extent(a))
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
    call("slope", *image(x), slopes, *image(out), bits, *extent(x))
    return out


def slope_back(grad: Tensor, bits: Tensor, slopes: Tensor, out: Tensor) -> Tensor:
    """Write the gradient where its bit is 1, and a times it elsewhere, to ``out``, which may be ``grad``; return it."""
    call("slope_back", *image(grad), bits, slopes, *image(out), *extent(grad))
    return out
