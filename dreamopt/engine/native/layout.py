"""How a kernel learns where an image's values lie: channels-last, with a distance from a pixel to the next.

A slice of a concatenation's channels has this layout too: its pixels lie as far apart as those of the whole.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pixel_stride(x: Tensor) -> int | None:
    """Return how many values it is from one pixel of (N, C, H, W) to the next; None where the values do not lie channels-last.

    Examples
    --------
    >>> x = torch.zeros(2, 5, 3, 4).contiguous(memory_format=torch.channels_last)
    >>> pixel_stride(x), pixel_stride(x[:, 1:3]), pixel_stride(x[..., 1:]), pixel_stride(torch.zeros(2, 5, 3, 4))
    (5, 5, None, None)
    """
    if x.dim() != 4:
        return None
    n, channels, height, width = x.shape
    by_item, by_channel, by_row, by_column = x.stride()
    if channels > 1 and by_channel != 1:
        return None
    if width > 1:
        stride = by_column
    elif height > 1:
        stride = by_row
    elif n > 1:
        stride = by_item
    else:
        return channels
    fits = (height == 1 or by_row == width * stride) and (n == 1 or by_item == height * width * stride)
    return stride if fits and stride >= channels else None


def is_native(x: Tensor) -> bool:
    """Return whether a kernel takes the tensor: 32-bit floats on the CPU, channels-last."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and pixel_stride(x) is not None


def image(x: Tensor) -> tuple[Tensor, int]:
    """Return what a kernel takes of a tensor that `is_native`: the tensor, and its `pixel_stride`."""
    stride = pixel_stride(x)
    assert stride is not None, "the caller has asked is_native"
    return x, stride


def extent(x: Tensor) -> tuple[int, int, int]:
    """Return what a kernel takes that looks at each pixel by itself: how many there are, channels, threads."""
    n, channels, height, width = x.shape
    return n * height * width, channels, torch.get_num_threads()


def as_native(x: Tensor) -> Tensor:
    """Return a tensor (N, C, H, W) as the kernels take it: itself, or a copy with the channels last."""
    return x if pixel_stride(x) is not None else x.contiguous(memory_format=torch.channels_last)
