"""Slice."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import POINTWISE, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._axes import axis_of


class Slice(Layer):
    """The bottom cut along ``axis`` (or ``slice_dim``, its old spelling) at the ``slice_point``s, else into equal parts.

    References
    ----------
    Caffe, src/caffe/layers/slice_layer.cpp, SliceLayer.
    """

    examples = (Example("slice_param { axis: 2 slice_point: 3 }", tops=2),)
    tops = (1, None)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check that the axis is given once."""
        if self.param.slice_param.HasField("axis") and self.param.slice_param.HasField("slice_dim"):
            self.fail("axis and slice_dim are both given; allowed is one of the two")
        return ()

    def axis(self, shape: Shape) -> int:
        """Return the axis to cut."""
        p = self.param.slice_param
        return axis_of(self, p.slice_dim, shape, "slice_dim") if p.HasField("slice_dim") else axis_of(self, p.axis, shape)

    def sizes(self, total: int) -> list[int]:
        """Return the sizes of the parts of an axis of ``total``."""
        points = list(self.param.slice_param.slice_point)
        if not points:
            if total % self.n_tops:
                self.fail(f"an axis of {total} cannot be cut into {self.n_tops} equal parts; give slice_points")
            return [total // self.n_tops] * self.n_tops
        if len(points) != self.n_tops - 1:
            self.fail(f"there are {len(points)} slice_points for {self.n_tops} tops; allowed are {self.n_tops - 1}")
        parts = [b - a for a, b in zip([0, *points], [*points, total], strict=True)]
        if min(parts) < 1:
            self.fail(f"the slice_points {points} have to rise, between 0 and the axis' size {total}")
        return parts

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the parts' shapes."""
        axis = self.axis(bottoms[0])
        return [(*bottoms[0][:axis], n, *bottoms[0][axis + 1 :]) for n in self.sizes(bottoms[0][axis])]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that each place depends on the one at its place, where channels are cut."""
        return POINTWISE if self.axis(bottoms[0]) == 1 else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Cut the bottom."""
        axis = self.axis(tuple(bottoms[0].shape))
        return torch.split(bottoms[0], self.sizes(bottoms[0].shape[axis]), axis)

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Nothing is computed."""
        return 0
