"""Deconvolution."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Example, Reach, Shape, count
from dreamopt.engine.layers.convolution import Convolution

_F = torch.nn.functional
_BY_AXES = {1: _F.conv_transpose1d, 2: _F.conv_transpose2d, 3: _F.conv_transpose3d}


class Deconvolution(Convolution):
    """The transpose of a convolution: each value of the bottom adds a kernel, times itself, to the top.

    The top's size is ``stride (size - 1) + dilation (kernel - 1) + 1 - 2 pad``. The kernels are stored as (in, out / group, ...).

    References
    ----------
    Caffe, src/caffe/layers/deconv_layer.cpp, DeconvolutionLayer.
    """

    differs = "0 to 3 spatial axes (Caffe: any number on the CPU); `engine` is ignored"
    examples = (Example("convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 }"),)

    def kernel_channels(self) -> Shape:
        """Return the first two axes of the kernels."""
        return self.n_in, self.n_out // self.groups

    def length(self, i: int, size: int) -> int:
        """Return the top's size on spatial axis ``i`` for a bottom of ``size``."""
        return self.windows.stride[i] * (size - 1) + self.windows.extent(i) - 2 * self.windows.pad[i]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say how the windows move, on maps."""
        moves = super().reach(bottoms)
        return None if moves is None else Reach.spread(moves.extent, moves.stride, moves.pad, moves.dilation)

    def convolve(self, x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
        """Spread x of shape (N, C, ...)."""
        _, stride, pad, dilation = self._torch_windows()
        return _BY_AXES[x.dim() - 2](x, w, bias, stride, pad, 0, self.groups, dilation)

    def multiplied(self, kernels: Tensor, factor: Tensor) -> Tensor:
        """Return the kernels, multiplied by a factor (out,) for each output."""
        groups = self.param.convolution_param.group
        by_group = kernels.reshape(groups, -1, *kernels.shape[1:])
        return (by_group * factor.reshape(groups, 1, -1, *[1] * (kernels.dim() - 2))).reshape(kernels.shape)

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Multiply-adds: a kernel for every value of the bottom."""
        return sum(count(b) for b in bottoms) * (self.n_out // self.groups) * count(self.windows.kernel)
