"""Layers as dense matrices, made place by place in numpy: what tests of attribution formulas compare with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def conv_matrix(kernels: Array, shape: Sequence[int], pad: int = 0, stride: int = 1, group: int = 1) -> Array:
    """Return the matrix (outputs, inputs) of a convolution with kernels (O, C / group, k, k) over a map (C, H, W)."""
    channels, height, width = shape
    n_out, n_in, size, _ = kernels.shape
    rows, columns = ((side + 2 * pad - size) // stride + 1 for side in (height, width))
    matrix = np.zeros((n_out, rows, columns, channels, height, width))
    for o, r, c, i, dy, dx in np.ndindex(n_out, rows, columns, n_in, size, size):
        y, x = r * stride - pad + dy, c * stride - pad + dx
        if 0 <= y < height and 0 <= x < width:
            matrix[o, r, c, o // (n_out // group) * n_in + i, y, x] = kernels[o, i, dy, dx]
    return matrix.reshape(n_out * rows * columns, channels * height * width)


def pool_windows(shape: Sequence[int], size: int, stride: int, pad: int = 0) -> tuple[Array, Array]:
    """Return which places each window of Caffe's pooling holds, (outputs, inputs) of 0 and 1, and its size with padding, (outputs,)."""
    channels, height, width = shape

    def ends(side: int) -> list[tuple[int, int]]:
        count = math.ceil((side + 2 * pad - size) / stride) + 1
        if pad and (count - 1) * stride >= side + pad:
            count -= 1
        return [(i * stride - pad, min(i * stride - pad + size, side + pad)) for i in range(count)]

    rows, columns = ends(height), ends(width)
    held = np.zeros((channels, len(rows), len(columns), channels, height, width))
    sizes = np.zeros((channels, len(rows), len(columns)))
    for (r, (top, bottom)), (c, (left, right)) in ((a, b) for a in enumerate(rows) for b in enumerate(columns)):
        sizes[:, r, c] = (bottom - top) * (right - left)
        for k in range(channels):
            held[k, r, c, k, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)] = 1
    return held.reshape(sizes.size, channels * height * width), sizes.reshape(-1)


def winners(x: Array, held: Array) -> Array:
    """Return the matrix (outputs, inputs) that picks the first largest value of each window."""
    picked = np.where(held > 0, x[None], -np.inf).argmax(1)
    matrix = np.zeros_like(held)
    matrix[np.arange(len(held)), picked] = 1
    return matrix
