"""Convolution."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Reach, Shape, Weight, count
from dreamopt.engine.layers._axes import axis_of, channels_last, text
from dreamopt.engine.layers._spatial import Windows, check_padded, read_windows

_BY_AXES = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}


class Convolution(Layer):
    """A weighted sum over windows that slide along the spatial axes (those after ``axis``, 0 to 3 of them).

    ``y[n, o, p] = b[o] + sum over c, q of w[o, c, q] x[n, c, p stride - pad + q dilation]``, zeros beyond the border, in
    ``group`` independent parts of the channels. Several bottoms share the weights and give a top each.

    References
    ----------
    Caffe, src/caffe/layers/base_conv_layer.cpp, BaseConvolutionLayer; conv_layer.cpp, compute_output_shape.
    """

    differs = "0 to 3 spatial axes (Caffe: any number on the CPU); `engine` is ignored"
    examples: ClassVar[tuple[Example, ...]] = (
        Example("convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 }"),
        Example("convolution_param { num_output: 6 kernel_size: 2 group: 3 }"),
        Example("convolution_param { num_output: 4 kernel_size: 3 axis: 0 }", ((2, 5, 4),)),
    )
    has_weights = True
    bottoms = (1, None)
    tops = (1, None)
    axis: int
    windows: Windows
    groups: int
    n_in: int
    n_out: int

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Read the windows; want the kernels (out, in / group, ...) and, with ``bias_term``, the biases (out,)."""
        p = self.param.convolution_param
        self.axis = axis_of(self, p.axis, bottoms[0])
        self.windows = read_windows(self, p, len(bottoms[0]) - self.axis - 1)
        self.groups, self.n_in, self.n_out = p.group, bottoms[0][self.axis], p.num_output
        if len(self.windows.kernel) > 3:
            self.fail(f"the bottom has {len(self.windows.kernel)} spatial axes; allowed are 0 to 3")
        if self.n_out < 1:
            self.fail("num_output is missing or 0; allowed is 1 and more")
        if self.groups < 1 or self.n_in % self.groups or self.n_out % self.groups:
            self.fail(f"group is {self.groups}, which has to divide the {self.n_in} input channels and num_output {self.n_out}")
        if self.n_tops != len(bottoms):
            self.fail(f"there are {len(bottoms)} bottoms and {self.n_tops} tops; each bottom needs its own top")
        kernel = Weight((*self.kernel_channels(), *self.windows.kernel), p.weight_filler)
        return [kernel, Weight((self.n_out,), p.bias_filler)] if p.bias_term else [kernel]

    def kernel_channels(self) -> Shape:
        """Return the first two axes of the kernels."""
        return self.n_out, self.n_in // self.groups

    def length(self, i: int, size: int) -> int:
        """Return the top's size on spatial axis ``i`` for a bottom of ``size``."""
        reach, stride = size + 2 * self.windows.pad[i] - self.windows.extent(i), self.windows.stride[i]
        return 1 if -stride < reach < 0 else reach // stride + 1  # C rounds towards 0: a bottom a little too small gives one window

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the tops' shapes; the axes before the channels are all batch axes."""
        tops = []
        for b in bottoms:
            if b != bottoms[0]:
                self.fail(f"the bottoms have shapes {text(bottoms[0])} and {text(b)}; they have to be equal")
            spatial = b[self.axis + 1 :]
            if len(spatial) != len(self.windows.kernel) or b[self.axis] != self.n_in:
                self.fail(
                    f"the bottom has shape {text(b)}, but the net was made for {self.n_in} channels on axis {self.axis}"
                    f" and {len(self.windows.kernel)} axes after it"
                )
            check_padded(self, b, self.windows.pad)
            out = tuple(self.length(i, d) for i, d in enumerate(spatial))
            if min(out, default=1) < 1:
                self.fail(
                    f"the bottom of shape {text(b)} is too small for kernel {text(self.windows.kernel)}, pad {text(self.windows.pad)}"
                )
            tops.append((*b[: self.axis], self.n_out, *out))
        return tops

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say how the windows move, on maps."""
        w = self.windows
        if self.axis != 1 or len(w.kernel) != 2:
            return None
        return w.reach()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Convolve each bottom."""
        bias = weights[1] if len(weights) > 1 else None
        return [self._one(x, weights[0], bias) for x in bottoms]

    def _one(self, x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
        n = len(self.windows.kernel)
        if self.axis == 1 and n > 0:
            return self.convolve(channels_last(x), w, bias)
        # torch wants exactly one batch axis, and at least one spatial axis
        flat = x.reshape(-1, self.n_in, *(x.shape[self.axis + 1 :] or (1,)))
        y = self.convolve(channels_last(flat), w if n else w.unsqueeze(-1), bias)
        return y.reshape(*x.shape[: self.axis], self.n_out, *(y.shape[2:] if n else ()))

    def convolve(self, x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve x of shape (N, C, ...)."""
        _, stride, pad, dilation = self._torch_windows()
        lacking = [max(self.windows.extent(i) - d - 2 * pad[i], 0) for i, d in enumerate(x.shape[2:])] if self.windows.kernel else []
        if any(lacking):
            x = torch.nn.functional.pad(x, [v for n in reversed(lacking) for v in (0, n)])
        return _BY_AXES[x.dim() - 2](x, w, bias, stride, pad, dilation, self.groups)

    def _torch_windows(self) -> Windows:
        return self.windows if self.windows.kernel else Windows((1,), (1,), (0,), (1,))

    @property
    def takes_factors(self) -> bool:
        """Whether its top's channels are on axis 1, and it has one top."""
        return self.param.convolution_param.axis == 1 and self.n_tops == 1

    def scaled(self, weights: Sequence[Tensor], factor: Tensor, shift: Tensor) -> list[Tensor]:
        """Multiply the kernels of each output; a bias comes to those that have none."""
        outputs = self.param.convolution_param.num_output
        factor, shift = factor.expand(outputs), shift.expand(outputs)
        bias = shift if len(weights) < 2 else weights[1] * factor + shift
        return [self.multiplied(weights[0], factor), bias]

    def multiplied(self, kernels: Tensor, factor: Tensor) -> Tensor:
        """Return the kernels, multiplied by a factor (out,) for each output."""
        return kernels * factor.reshape(-1, *[1] * (kernels.dim() - 1))

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Multiply-adds: every kernel at every place."""
        return sum(count(t) for t in tops) * (self.n_in // self.groups) * count(self.windows.kernel)
