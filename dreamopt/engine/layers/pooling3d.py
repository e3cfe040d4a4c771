"""Pooling3D."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d, max_pool3d, pad

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example, Layer, Shape, Weight, count
from dreamopt.engine.layers._axes import same_rank, text
from dreamopt.schema.caffe_pb2 import PoolingParameter

_LOWEST = torch.finfo(torch.float32).min


class Pooling3D(Layer):
    """The largest value (MAX) or the average (AVE) of each window of a volume (N, C, frames, height, width).

    Windows are ``kernel_depth`` frames of ``kernel_size`` by ``kernel_size`` and move by ``temporal_stride`` and ``stride``; there
    are ``ceil((size + 2 pad - kernel) / stride) + 1`` along each axis, without a pad over frames. What lies beyond the volume does not
    count. AVE divides by the window's size with what it has of the padding, as Caffe's `Pooling`. Not in Caffe 1.0.

    References
    ----------
    facebookarchive/C3D, src/caffe/layers/pool3d_layer.cpp, Pooling3DLayer; Tran et al., Learning Spatiotemporal Features with 3D
    Convolutional Networks, 2015.
    """

    fork = "C3D"
    differs = (
        "of several largest values in a window one has the gradient (the fork gives it to each); a window without any value, "
        "beyond the volume, gives the lowest float32 for MAX and 0 for AVE"
    )
    examples = (
        Example("pooling_param { kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 2 }", ((2, 3, 5, 6, 7),)),
        Example("pooling3d_param { kernel_size: 3 stride: 2 }", ((2, 3, 4, 6, 7),)),
        Example("pooling_param { pool: AVE kernel_size: 3 kernel_depth: 2 stride: 2 pad: 1 }", ((2, 3, 4, 6, 5),)),
    )
    kernel: Shape
    stride: Shape
    pad: Shape

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the windows."""
        p = self.options
        same_rank(self, bottoms[0], 5, "Pooling3D")
        for field, _ in p.ListFields():
            if field.name not in ("pool", "kernel_size", "kernel_depth", "stride", "temporal_stride", "pad", "engine"):
                self.fail(
                    f"it has {field.name}, which it does not take; allowed are kernel_size, kernel_depth, stride, temporal_stride, pad"
                )
        self.kernel = (p.kernel_depth, p.kernel_size, p.kernel_size)
        self.stride = (p.temporal_stride, p.stride, p.stride)
        self.pad = (0, p.pad, p.pad)
        if min(*self.kernel, *self.stride) < 1:
            self.fail(f"kernel and stride are {text(self.kernel)} and {text(self.stride)}; allowed is 1 and more")
        if p.pool == p.STOCHASTIC:
            self.fail("STOCHASTIC is not among its ways to pool; allowed are MAX and AVE")
        if p.pad and p.pool != p.AVE:
            self.fail(f"pad is {p.pad}; a pad is allowed for AVE only")
        if p.pad >= p.kernel_size:
            self.fail(f"the pad {p.pad} has to be smaller than the kernel {p.kernel_size}")
        return ()

    @property
    def options(self) -> PoolingParameter:
        """The parameters, which C3D 1.0 and 1.1 name otherwise."""
        return self.param.pooling3d_param if self.param.HasField("pooling3d_param") else self.param.pooling_param

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return (N, C, ...) with the windows counted."""
        same_rank(self, bottoms[0], 5, "Pooling3D")
        out = tuple(self._windows(size, i) for i, size in enumerate(bottoms[0][2:]))
        if min(out) < 1:
            self.fail(f"the bottom of shape {text(bottoms[0])} is too small for kernel {text(self.kernel)}, pad {text(self.pad)}")
        return [(*bottoms[0][:2], *out)]

    def _windows(self, size: int, i: int) -> int:
        return (size + 2 * self.pad[i] - self.kernel[i] + self.stride[i] - 1) // self.stride[i] + 1

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the top."""
        x, p = bottoms[0], self.options
        sizes = x.shape[2:]
        out = self.shape([tuple(x.shape)])[0][2:]
        # up to where the last windows end, or begin to be cut off
        extra = [(out[i] - 1) * self.stride[i] + self.kernel[i] - sizes[i] - self.pad[i] for i in range(3)]
        edges = [v for i in (2, 1, 0) for v in (self.pad[i], extra[i])]
        if p.pool == p.MAX:
            return [max_pool3d(pad(x, edges, value=_LOWEST), self.kernel, self.stride)]
        total = avg_pool3d(pad(x, edges), self.kernel, self.stride, divisor_override=1)
        lengths = [
            (torch.arange(n, device=x.device) * -self.stride[i] + sizes[i] + 2 * self.pad[i]).clamp(1, self.kernel[i])
            for i, n in enumerate(out)
        ]
        return [total / (lengths[0][:, None, None] * lengths[1][:, None] * lengths[2])]

    def caffe(self) -> CaffeTraits:
        """Say that MAX keeps where the largest values were."""
        return CaffeTraits(saves_forward_state=self.options.pool == PoolingParameter.MAX)

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Values looked at."""
        return count(tops[0]) * count(self.kernel)
