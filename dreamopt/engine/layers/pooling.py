"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example, Layer, Reach, Shape, Weight, count
from dreamopt.engine.layers._axes import channels_last, same_rank, text
from dreamopt.engine.layers._spatial import check_padded
from dreamopt.parts.limits import MOST_WINDOW

_LOWEST = torch.finfo(torch.float32).min


class Pooling(Layer):
    """The largest value (MAX), the average (AVE), or a weighted average (STOCHASTIC, in TEST) of each window of a map.

    The top's size is ``ceil((size + 2 pad - kernel) / stride) + 1`` (``round_mode: FLOOR``: floor); only where there is a
    pad is a last window dropped that would begin beyond the image and its padding. AVE divides by the window's area
    including padding, but not what lies beyond that. STOCHASTIC gives ``sum x^2 / sum x`` of the
    window, 0 where the sum is not positive, as Caffe does on a GPU in TEST (on the CPU it has no such pooling).

    A window without any value (stride > kernel can put the last one beyond the image) gives what Caffe gives for MAX,
    the lowest float32, with no gradient; Caffe's backward pass would write outside the blob there. For AVE and STOCHASTIC it
    gives 0, where Caffe may divide 0 by 0. A second top of MAX holds the place of each value in its map, ``y width + x``,
    and -1 for a window without values.

    References
    ----------
    Caffe, src/caffe/layers/pooling_layer.cpp, PoolingLayer; pooling_layer.cu, StoPoolForwardTest.
    """

    differs = (
        "STOCHASTIC in TEST phase on the CPU too, by the GPU's definition; a window that begins beyond the image (stride above "
        "kernel), where Caffe reads outside its memory, has the value that the class's docstring states"
    )
    examples = (
        Example("pooling_param { kernel_size: 3 stride: 2 }"),
        Example("pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"),
        Example("pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 2 }"),
        Example("pooling_param { kernel_size: 1 stride: 3 }"),
        Example("pooling_param { pool: AVE kernel_size: 1 stride: 3 }"),
        Example("pooling_param { pool: AVE global_pooling: true }"),
        Example("pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 }", positive=True),
    )
    tops = (1, 2)
    kernel: Shape
    stride: Shape
    pad: Shape

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the windows."""
        p = self.param.pooling_param
        same_rank(self, bottoms[0], 4, "Pooling")
        if p.global_pooling:
            if p.HasField("kernel_size") or p.HasField("kernel_h") or p.HasField("kernel_w"):
                self.fail("global_pooling takes the whole map; no kernel may be given")
            self.kernel = (0, 0)
        else:
            if p.HasField("kernel_size") == (p.HasField("kernel_h") and p.HasField("kernel_w")):
                self.fail("the kernel has to be given as kernel_size, or as kernel_h and kernel_w, and not both")
            self.kernel = (p.kernel_size, p.kernel_size) if p.HasField("kernel_size") else (p.kernel_h, p.kernel_w)
            if min(self.kernel) < 1:
                self.fail(f"the kernel is {text(self.kernel)}; allowed is 1 and more")
        self.stride = (p.stride_h, p.stride_w) if p.HasField("stride_h") else (p.stride, p.stride)
        self.pad = (p.pad_h, p.pad_w) if p.HasField("pad_h") else (p.pad, p.pad)
        for name in ("stride", "pad"):
            square, h, w = (p.HasField(f"{name}{end}") for end in ("", "_h", "_w"))
            if h != w or (square and h):
                self.fail(f"the {name} has to be given as {name}, or as {name}_h and {name}_w, and not both")
        if min(self.stride) < 1:
            self.fail(f"the stride is {text(self.stride)}; allowed is 1 and more")
        if max(*self.kernel, *self.stride, *self.pad) > MOST_WINDOW:
            windows = f"the kernel is {text(self.kernel)}, the stride {text(self.stride)}, the pad {text(self.pad)}"
            self.fail(f"{windows}; allowed is up to {MOST_WINDOW}")
        if p.global_pooling and (self.pad != (0, 0) or self.stride != (1, 1)):
            self.fail("global_pooling allows no pad, and only stride 1")
        if p.pool == p.STOCHASTIC and self.pad != (0, 0):
            self.fail("a pad is allowed for MAX and AVE only")
        if p.pool == p.STOCHASTIC and self.phase == "TRAIN":
            self.fail("STOCHASTIC pooling works in TEST only; MAX and AVE work in TRAIN too")
        if not p.global_pooling and any(q >= k for q, k in zip(self.pad, self.kernel, strict=True)):
            self.fail(f"the pad {text(self.pad)} has to be smaller than the kernel {text(self.kernel)}")
        if self.n_tops == 2 and p.pool != p.MAX:
            self.fail("a second top (the mask) is for MAX only")
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return (N, C, ...) with the windows counted."""
        same_rank(self, bottoms[0], 4, "Pooling")
        size, kernel = bottoms[0][2:], self.kernel_for(bottoms[0][2:])
        out = tuple(self._windows(size[i], kernel[i], i) for i in (0, 1))
        if min(out) < 1:
            self.fail(f"the bottom of shape {text(bottoms[0])} is too small for kernel {text(kernel)}, pad {text(self.pad)}")
        check_padded(self, bottoms[0], self.pad)
        return [(*bottoms[0][:2], *out)] * self.n_tops

    def kernel_for(self, size: Shape) -> Shape:
        """Return the kernel for a map of this height and width, which global pooling takes whole."""
        return size if self.param.pooling_param.global_pooling else self.kernel

    def _windows(self, size: int, kernel: int, i: int) -> int:
        p, reach = self.param.pooling_param, size + 2 * self.pad[i] - kernel
        n = (reach if p.round_mode == p.FLOOR else reach + self.stride[i] - 1) // self.stride[i] + 1
        return n - 1 if max(self.pad) > 0 and (n - 1) * self.stride[i] >= size + self.pad[i] else n

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say how the windows move; global pooling takes the whole map, and a mask counts places of it."""
        if self.param.pooling_param.global_pooling or self.n_tops > 1:
            return None
        return Reach((self.kernel[0], self.kernel[1]), (self.stride[0], self.stride[1]), (self.pad[0], self.pad[1]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the top, and the mask if there is a second one."""
        p, x = self.param.pooling_param, channels_last(bottoms[0])
        height, width = x.shape[2:]
        kernel, out = self.kernel_for((height, width)), self.shape([tuple(x.shape)])[0][2:]
        if p.pool == p.AVE and p.global_pooling:
            return [x.mean((2, 3), keepdim=True)]
        # what torch's ceil_mode and its own padding cannot say is padded here, and cut or filled to end where the windows do
        extra_padding = [(out[i] - 1) * self.stride[i] + kernel[i] - (height, width)[i] - self.pad[i] for i in (0, 1)]
        torch_pads = self.torch_padding_fits((height, width), kernel, out)
        if p.pool == p.AVE:
            if torch_pads:
                return [avg_pool2d(x, kernel, self.stride, self.pad, ceil_mode=p.round_mode == p.CEIL)]
            padded = pad(x, (self.pad[1], extra_padding[1], self.pad[0], extra_padding[0]))
            return [avg_pool2d(padded, kernel, self.stride, divisor_override=1) / self._areas(x, kernel, out)]
        if p.pool == p.STOCHASTIC:
            return [self._stochastic(pad(x, (0, extra_padding[1], 0, extra_padding[0])), kernel)]
        if torch_pads and self.n_tops == 1:
            return [max_pool2d(x, kernel, self.stride, self.pad, ceil_mode=p.round_mode == p.CEIL)]
        padded = pad(x, (self.pad[1], extra_padding[1], self.pad[0], extra_padding[0]), value=_LOWEST)
        y, index = max_pool2d(padded, kernel, self.stride, return_indices=True)
        if self.n_tops == 1:
            return [y]
        row = index // padded.shape[3] - self.pad[0]
        column = index % padded.shape[3] - self.pad[1]
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        return [y, torch.where(inside, row * width + column, -1).to(x.dtype)]

    def torch_padding_fits(self, size: Shape, kernel: Shape, out: Shape) -> bool:
        """Return whether torch's own padding makes these windows: it allows half a kernel, and drops the last also without a pad."""
        p = self.param.pooling_param
        for i in (0, 1):
            reach = size[i] + 2 * self.pad[i] - kernel[i]
            n = (reach if p.round_mode == p.FLOOR else reach + self.stride[i] - 1) // self.stride[i] + 1
            if p.round_mode == p.CEIL and (n - 1) * self.stride[i] >= size[i] + self.pad[i]:
                n -= 1
            if self.pad[i] > kernel[i] // 2 or n != out[i]:
                return False
        return True

    def _areas(self, x: Tensor, kernel: Shape, out: Shape) -> Tensor:
        """Return what AVE divides by: the area of each window with the padding, (out height, out width)."""
        rows, columns = (
            (torch.arange(out[i], device=x.device) * -self.stride[i] + x.shape[2 + i] + 2 * self.pad[i]).clamp(1, kernel[i]) for i in (0, 1)
        )
        return (rows[:, None] * columns).to(x.dtype)

    def _stochastic(self, x: Tensor, kernel: Shape) -> Tensor:
        total = avg_pool2d(x, kernel, self.stride, divisor_override=1)
        squares = avg_pool2d(x * x, kernel, self.stride, divisor_override=1)
        return torch.where(total > 0, squares / torch.where(total > 0, total, 1), 0)

    def caffe(self) -> CaffeTraits:
        """Say that for MAX, Caffe keeps where the largest values were."""
        return CaffeTraits(saves_forward_state=self.param.pooling_param.pool == self.param.pooling_param.MAX)

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Values looked at."""
        return count(tops[0]) * count(self.kernel_for(bottoms[0][2:]))
