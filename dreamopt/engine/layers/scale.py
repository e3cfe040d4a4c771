"""Scale."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import MAP, POINTWISE, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._broadcast import check_operand, spread, weight_shape
from dreamopt.schema.caffe_pb2 import FillerParameter


class Scale(Layer):
    """``y = s x``, with ``bias_term`` ``y = s x + b``, s spread over the axes of x that it does not span.

    s is a weight that spans ``num_axes`` axes from ``axis`` on (default: one number for each channel), or the second
    bottom; b is a weight of the same shape.

    References
    ----------
    Caffe, src/caffe/layers/scale_layer.cpp, ScaleLayer.
    """

    examples = (Example("scale_param { bias_term: true }"), Example("scale_param { axis: 0 }", (MAP, (2, 3))))
    has_weights = True
    bottoms = (1, 2)
    span: Shape

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Want s unless it is a bottom, and b if asked for."""
        p = self.param.scale_param
        self.span = bottoms[1] if len(bottoms) == 2 else weight_shape(self, bottoms[0], p.axis, p.num_axes)
        filler = p.filler if p.HasField("filler") else FillerParameter(type="constant", value=1)
        bias = [Weight(self.span, p.bias_filler)] if p.bias_term else []
        return bias if len(bottoms) == 2 else [Weight(self.span, filler), *bias]

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check that s fits."""
        check_operand(self, bottoms[0], bottoms[1] if len(bottoms) == 2 else self.span, self.param.scale_param.axis)
        return [bottoms[0]]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that each place depends on the one at its place, where each channel has its factor."""
        return POINTWISE if len(bottoms) == 1 and self.param.scale_param.axis in (1, -3) and len(self.span) <= 1 else None

    @property
    def is_affine(self) -> bool:
        """Whether the factor is a weight for each channel, or one for all."""
        p = self.param.scale_param
        return len(self.param.bottom) == 1 and (p.num_axes == 0 or (p.axis, p.num_axes) == (1, 1))

    def affine(self, bottom: Callable[[], Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the weights."""
        return weights[0], weights[1] if len(weights) > 1 else torch.zeros_like(weights[0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Multiply, and add."""
        p, x = self.param.scale_param, bottoms[0]
        factor, *bias = [*bottoms[1:], *weights]
        y = x * spread(factor, x, p.axis)
        return [y + spread(bias[0], x, p.axis)] if bias else [y]
