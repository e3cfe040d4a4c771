"""Eltwise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import MAP, POINTWISE, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._axes import text


class Eltwise(Layer):
    """The bottoms' weighted sum (SUM, with ``coeff``), product (PROD) or maximum (MAX), place by place.

    MAX gives the gradient to one bottom alone: of two equal values, the second bottom's wins over the first's; a further
    bottom wins only where it is larger. PROD's gradient is the product of the other bottoms also with
    ``stable_prod_grad: false``, where Caffe divides the top by the bottom: the same number, but not 0/0 at zeros.

    References
    ----------
    Caffe, src/caffe/layers/eltwise_layer.cpp, EltwiseLayer.
    """

    differs = "`stable_prod_grad: false` gives the stable gradient"
    examples = (
        Example("eltwise_param { coeff: 2 coeff: -1 coeff: 0.5 }", (MAP, MAP, MAP)),
        Example("eltwise_param { operation: PROD }", (MAP, MAP, MAP)),
        Example("eltwise_param { operation: MAX }", (MAP, MAP, MAP)),
    )
    bottoms = (2, None)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the coefficients."""
        p = self.param.eltwise_param
        if len(p.coeff) not in (0, len(bottoms)):
            self.fail(f"there are {len(p.coeff)} coeffs for {len(bottoms)} bottoms; allowed are none, or one for each")
        if p.coeff and p.operation == p.PROD:
            self.fail("coeff is given for PROD; allowed is it for SUM")
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check that the bottoms agree."""
        for name, b in zip(self.param.bottom, bottoms, strict=True):
            if b != bottoms[0]:
                self.fail(f"bottom '{name}' has shape {text(b)}, the first {text(bottoms[0])}; they have to be equal")
        return [bottoms[0]]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that each place depends on the one at its place."""
        return POINTWISE

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Combine the bottoms."""
        p = self.param.eltwise_param
        y, *rest = bottoms
        if p.operation == p.SUM:
            c, *coeffs = p.coeff or [1.0] * len(bottoms)
            y = y if c == 1 else y * c
            for x, c in zip(rest, coeffs, strict=True):
                y = torch.add(y, x, alpha=c)
        elif p.operation == p.PROD:
            for x in rest:
                y = y * x
        else:
            y = torch.where(y > rest[0], y, rest[0])
            for x in rest[1:]:
                y = torch.where(x > y, x, y)
        return [y]

    def caffe(self) -> CaffeTraits:
        """Say that for MAX, Caffe keeps which bottom was the largest."""
        return CaffeTraits(saves_forward_state=self.param.eltwise_param.operation == self.param.eltwise_param.MAX)

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Multiply-adds: one for each value of each bottom."""
        return super().flops(bottoms, tops) * len(bottoms)
