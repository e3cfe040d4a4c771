"""Reduction."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Shape
from dreamopt.engine.layers._axes import axis_of


class Reduction(Layer):
    """All values from ``axis`` on made one: ``coeff`` times their SUM, sum of magnitudes (ASUM), of squares (SUMSQ), or MEAN.

    References
    ----------
    Caffe, src/caffe/layers/reduction_layer.cpp, ReductionLayer.
    """

    examples = (Example("reduction_param { operation: SUMSQ axis: 1 coeff: 0.5 }"),)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the axes before ``axis``."""
        return [bottoms[0][: axis_of(self, self.param.reduction_param.axis, bottoms[0])]]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Reduce."""
        p, x = self.param.reduction_param, bottoms[0]
        x = x.flatten(p.axis % x.dim())
        if p.operation == p.ASUM:
            x = x.abs()
        elif p.operation == p.SUMSQ:
            x = x * x
        y = x.mean(-1) if p.operation == p.MEAN else x.sum(-1)
        return [y * p.coeff]
