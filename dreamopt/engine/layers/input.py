"""Input."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Shape


class Input(Layer):
    """Blobs that the caller fills; zeros until then.

    References
    ----------
    Caffe, src/caffe/layers/input_layer.cpp, InputLayer::LayerSetUp.
    """

    differs = "any shape may be given when a program is called"
    examples = (Example("input_param { shape { dim: 2 dim: 3 } }", ()),)
    bottoms = (0, 0)
    tops = (1, None)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the shapes written in the prototxt: one for each top, or one for all; none leaves the tops without axes."""
        shapes = [tuple(s.dim) for s in self.param.input_param.shape]
        if len(shapes) not in (0, 1, self.n_tops):
            self.fail(f"input_param has {len(shapes)} shapes for {self.n_tops} tops; allowed are one for all, or one for each")
        if any(d < 0 for s in shapes for d in s):
            self.fail("input_param has a negative dimension; allowed are 0 and more")
        return shapes if len(shapes) == self.n_tops else (shapes or [()]) * self.n_tops

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return zeros; the net puts its own values in their place."""
        return [torch.zeros(s) for s in self.shape(())]

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Nothing is computed."""
        return 0
