"""Convolutions of 3x3 kernels with stride 1, forward or as a data gradient, by Winograd's F(4x4, 3x3)."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from dreamopt.engine.native.layout import image
from dreamopt.engine.native.library import call

_LINE = 16  # floats in a line of the cache, where panels of kernels begin
_LEAST_CHANNELS = 12
_LEAST_SIDE = 4
_MANY_WEIGHTS = 1 << 17  # of one kernel position: transformed, they are read from memory and not from a cache
_LEAST_TILES = 4


def pays(shape: tuple[int, ...], kernels: int, groups: int, pad: tuple[int, int]) -> bool:
    """Return whether a bottom of this shape is convolved faster so than directly, by a rule that was measured (docs/performance.md).

    Parameters
    ----------
    shape : tuple of int
        Of the bottom, (N, C, H, W).
    kernels : int
        Channels of the top.
    groups : int
        Into how many groups the channels of both fall.
    pad : tuple of int
        Rows above and below, columns left and right.
    """
    n, channels, height, width = shape
    top = height + 2 * pad[0] - 2, width + 2 * pad[1] - 2
    depth, each = channels // groups, kernels // groups
    if depth < _LEAST_CHANNELS or min(top) < _LEAST_SIDE:
        return False
    tiles = n * (-(-top[0] // 4)) * (-(-top[1] // 4))
    return depth * each <= _MANY_WEIGHTS or tiles >= _LEAST_TILES


class WinogradKernels:
    """Kernels transformed for Winograd's products, to convolve with.

    Parameters
    ----------
    w : Tensor
        Kernels, (out, in / groups, 3, 3), 32-bit floats on the CPU.
    groups : int
        Into how many groups the channels fall.

    Notes
    -----
    They take four times the memory of ``w``. The relative error of a convolution is 1e-6 to 5e-6, where a direct one makes 2e-7 to 4e-7.

    References
    ----------
    Lavin and Gray 2015, Fast algorithms for convolutional neural networks, arXiv:1509.09308.
    """

    def __init__(self, w: Tensor, groups: int = 1) -> None:
        self.kernels, self.channels, self.groups = w.shape[0], w.shape[1] * groups, groups
        size = (ctypes.c_int64 * 1)()
        call("winograd_size", self.kernels, self.channels, groups, size)
        whole = torch.empty(size[0] + _LINE, dtype=torch.float32)
        begin = -(whole.data_ptr() // 4) % _LINE
        self._transformed = whole[begin : begin + size[0]]
        call("winograd_kernels", w.contiguous(), self.kernels, self.channels, groups, self._transformed)

    def __call__(
        self,
        x: Tensor,
        bias: Tensor | None,
        pad: tuple[int, int],
        out: Tensor,
        relu: bool = False,
        add: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Write the convolution of ``x`` to ``out`` and return it.

        Parameters
        ----------
        x : Tensor
            The bottom, (N, C, H, W), channels-last; a slice of other channels too (`pixel_stride`).
        bias : Tensor, optional
            One for each kernel.
        pad : tuple of int
            Rows above and below, columns left and right, that count as 0.
        out : Tensor
            Of the top's shape, channels-last or a slice.
        relu : bool
            Whether the result is cut off below 0.
        add : bool
            Whether it is added to what ``out`` holds; before ``relu``.
        mask : Tensor, optional
            Of the bottom's shape: where it is 0 or less, the bottom counts as 0. So a data gradient passes the ReLU in front of it.

        Raises
        ------
        MemoryError
            If the machine has no memory for the transformed bottoms, 3 MB at most.
        """
        n, channels, height, width = x.shape
        sizes = (ctypes.c_int64 * 15)(
            n, height, width, channels, image(x)[1], *out.shape[2:], self.kernels, image(out)[1],
            *pad, self.groups, relu, add, 0 if mask is None else image(mask)[1],
        )  # fmt: skip
        bias = None if bias is None else bias.contiguous()
        call("winograd", sizes, x, mask, self._transformed, bias, out, torch.get_num_threads())
        return out
