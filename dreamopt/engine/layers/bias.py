"""Bias."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import MAP, POINTWISE, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._broadcast import check_operand, spread, weight_shape


class Bias(Layer):
    """``y = x + b``, b spread over the axes of x that it does not span.

    b is a weight that spans ``num_axes`` axes from ``axis`` on (default: one number for each channel), or the second
    bottom.

    References
    ----------
    Caffe, src/caffe/layers/bias_layer.cpp, BiasLayer.
    """

    examples = (Example(), Example("bias_param { axis: 2 }", (MAP, (5, 4))))
    has_weights = True
    bottoms = (1, 2)
    span: Shape = ()

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Want b, unless it is a bottom."""
        p = self.param.bias_param
        if len(bottoms) == 2:
            return ()
        self.span = weight_shape(self, bottoms[0], p.axis, p.num_axes)
        return [Weight(self.span, p.filler)]

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check that b fits."""
        check_operand(self, bottoms[0], bottoms[1] if len(bottoms) == 2 else self.span, self.param.bias_param.axis)
        return [bottoms[0]]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that each place depends on the one at its place, where each channel has its number."""
        return POINTWISE if len(bottoms) == 1 and self.param.bias_param.axis in (1, -3) and len(self.span) <= 1 else None

    @property
    def is_affine(self) -> bool:
        """Whether b is a weight for each channel, or one for all."""
        p = self.param.bias_param
        return len(self.param.bottom) == 1 and (p.num_axes == 0 or (p.axis, p.num_axes) == (1, 1))

    def affine(self, bottom: Callable[[], Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return 1 and the weight."""
        return torch.ones_like(weights[0]), weights[0]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Add."""
        x, b = bottoms[0], bottoms[1] if len(bottoms) == 2 else weights[0]
        return [x + spread(b, x, self.param.bias_param.axis)]
