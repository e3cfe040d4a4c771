"""Concat."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import MAP, POINTWISE, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._axes import axis_of, text


class Concat(Layer):
    """The bottoms one after another along ``axis`` (or along ``concat_dim``, its old spelling).

    References
    ----------
    Caffe, src/caffe/layers/concat_layer.cpp, ConcatLayer.
    """

    examples = (Example(shapes=(MAP, (2, 1, 5, 4))),)
    bottoms = (1, None)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check that the axis is given once."""
        if self.param.concat_param.HasField("axis") and self.param.concat_param.HasField("concat_dim"):
            self.fail("axis and concat_dim are both given; allowed is one of the two")
        return ()

    def axis(self, shape: Shape) -> int:
        """Return the axis to join."""
        p = self.param.concat_param
        return axis_of(self, p.concat_dim, shape, "concat_dim") if p.HasField("concat_dim") else axis_of(self, p.axis, shape)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Add up the bottoms' sizes along the axis; all others have to agree."""
        first, axis = bottoms[0], self.axis(bottoms[0])
        for name, b in zip(self.param.bottom, bottoms, strict=True):
            if len(b) != len(first) or any(d != e for i, (d, e) in enumerate(zip(b, first, strict=True)) if i != axis):
                self.fail(f"bottom '{name}' has shape {text(b)}, the first {text(first)}; only axis {axis} may differ")
        return [(*first[:axis], sum(b[axis] for b in bottoms), *first[axis + 1 :])]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that each place depends on the one at its place, where channels are joined."""
        return POINTWISE if self.axis(bottoms[0]) == 1 else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Join the bottoms."""
        return [torch.cat(list(bottoms), self.axis(tuple(bottoms[0].shape)))]
