"""Flatten."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example, Layer, Shape, count
from dreamopt.engine.layers._axes import axis_of


class Flatten(Layer):
    """The axes from ``axis`` to ``end_axis``, both included, made one.

    References
    ----------
    Caffe, src/caffe/layers/flatten_layer.cpp, FlattenLayer.
    """

    examples = (Example("flatten_param { end_axis: 2 }"),)

    def caffe(self) -> CaffeTraits:
        """Say that the top is the bottom in another shape."""
        return CaffeTraits(shares_data=True, shares_diff=True, shares_diff_in_backward=True, is_identity=True)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the flattened shape."""
        p, b = self.param.flatten_param, bottoms[0]
        start, end = axis_of(self, p.axis, b), axis_of(self, p.end_axis, b, "end_axis") + 1
        if end < start:
            self.fail(f"end_axis {p.end_axis} comes before axis {p.axis}")
        return [(*b[:start], count(b, start, end), *b[end:])]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Flatten, in the order of the axes, whatever the layout in memory."""
        return [bottoms[0].reshape(self.shape([tuple(bottoms[0].shape)])[0])]

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Nothing is computed."""
        return 0
