"""Clip."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.inplace import overwriting
from dreamopt.engine.layer import Elementwise, Shape, Weight


class Clip(Elementwise):
    """``y = min(max(x, min), max)``; the derivative is 1 from ``min`` to ``max``, both included, else 0.

    In place, Caffe looks for x in y, which is never outside: the derivative is 1 everywhere.

    References
    ----------
    Caffe, src/caffe/layers/clip_layer.cpp, ClipLayer.
    """

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check that both bounds are given."""
        p = self.param.clip_param
        if not (p.HasField("min") and p.HasField("max")):
            self.fail("clip_param has to give min and max")
        return ()

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        p = self.param.clip_param
        in_place = self.param.bottom[0] == self.param.top[0]
        return overwriting(lambda t: torch.clamp(t, p.min, p.max), x) if in_place else torch.clamp(x, p.min, p.max)
