"""The windows of both kinds of pooling, as their kernels take them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.native.layout import image


def pooled(
    bottom: Tensor, top: Tensor, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], add: bool = False
) -> ctypes.Array[ctypes.c_int64]:
    """Return the numbers of the structure ``Pooled`` in src/windows.h, of a bottom and a top that `is_native`."""
    n, channels, height, width = bottom.shape
    return (ctypes.c_int64 * 15)(
        n, height, width, channels, image(bottom)[1], *top.shape[2:], image(top)[1], *kernel, *stride, *pad, add
    )  # fmt: skip
