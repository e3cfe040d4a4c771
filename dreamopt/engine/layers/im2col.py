"""Im2col."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example, Layer, Reach, Shape, Weight, count
from dreamopt.engine.layers._axes import axis_of, text
from dreamopt.engine.layers._spatial import Windows, check_padded, read_windows


class Im2col(Layer):
    """Every window of the bottom as a column: (N, C, H, W) becomes (N, C kernel_h kernel_w, out_h, out_w).

    References
    ----------
    Caffe, src/caffe/layers/im2col_layer.cpp, Im2colLayer.
    """

    examples = (Example("convolution_param { kernel_size: 3 stride: 2 pad: 1 }"),)
    windows: Windows
    axis: int

    def caffe(self) -> CaffeTraits:
        """Say that Caffe's backward pass does not look at ``propagate_down``."""
        return CaffeTraits(ignores_propagate_down=True)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Read the windows."""
        p = self.param.convolution_param
        self.axis = axis_of(self, p.axis, bottoms[0])
        n = len(bottoms[0]) - self.axis - 1
        if n != 2:
            self.fail(f"the bottom of shape {text(bottoms[0])} has {n} axes after axis {self.axis}; allowed are 2")
        self.windows = read_windows(self, p, n)
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Count the windows."""
        w, b, axis = self.windows, bottoms[0], self.axis
        if len(b) == axis + 3:
            check_padded(self, b, w.pad)
        out = [(b[axis + 1 + i] + 2 * w.pad[i] - w.extent(i)) // w.stride[i] + 1 for i in (0, 1)]
        if len(b) != axis + 3 or min(out) < 1:
            self.fail(f"the bottom of shape {text(b)} does not fit kernel {text(w.kernel)}, pad {text(w.pad)}")
        return [(*b[:axis], b[axis] * count(w.kernel), *out)]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say how the windows move."""
        w = self.windows
        return w.reach() if self.axis == 1 else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Cut the windows out."""
        w, x = self.windows, bottoms[0]
        flat = x.reshape(-1, *x.shape[self.axis :])
        columns = torch.nn.functional.unfold(flat, w.kernel, w.dilation, w.pad, w.stride)
        return [columns.reshape(self.shape([tuple(x.shape)])[0])]
