"""Clip."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Elementwise, Example, Shape, Weight


class Clip(Elementwise):
    """``y = min(max(x, min), max)``; the derivative is 1 from ``min`` to ``max``, both included, else 0.

    In place, Caffe looks for x in y, which is never outside: the derivative is 1 everywhere.

    References
    ----------
    Caffe, src/caffe/layers/clip_layer.cpp, ClipLayer.
    """

    examples = (Example("clip_param { min: -0.4 max: 0.6 }"),)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check that both bounds are given."""
        p = self.param.clip_param
        if not (p.HasField("min") and p.HasField("max")):
            self.fail("clip_param has to give min and max")
        return ()

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        p = self.param.clip_param
        return torch.clamp(x, p.min, p.max)

    def caffe(self) -> CaffeTraits:
        """Say that it is open between the bounds (some nets' ReLU6 is written as a Clip); in place, no top lies beyond them."""
        return CaffeTraits(active_range=(self.param.clip_param.min, self.param.clip_param.max), in_place_breaks_gradient=True)

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Look whether the bottom lies within."""
        p = self.param.clip_param
        return grad * ((x >= p.min) & (x <= p.max))
