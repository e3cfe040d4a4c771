"""PReLU."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Elementwise, Example, Shape, Weight
from dreamopt.engine.layers._axes import text
from dreamopt.schema.caffe_pb2 import FillerParameter


class PReLU(Elementwise):
    """``y = max(x, 0) + a min(x, 0)``, a learned for each channel (axis 1), or one for all with ``channel_shared``.

    References
    ----------
    Caffe, src/caffe/layers/prelu_layer.cpp, PReLULayer.
    """

    examples = (Example(), Example("prelu_param { channel_shared: true }"))
    has_weights = True

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Want the slopes, 0.25 if no filler is given."""
        p = self.param.prelu_param
        if len(bottoms[0]) < 2:
            self.fail(f"the bottom has shape {text(bottoms[0])}; allowed are 2 axes and more")
        filler = p.filler if p.HasField("filler") else FillerParameter(type="constant", value=0.25)
        return [Weight(() if p.channel_shared else (bottoms[0][1],), filler)]

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return torch.nn.functional.prelu(x, weights[0].reshape(-1))

    def caffe(self) -> CaffeTraits:
        """Say that it is open above 0; below it too, wherever the slope that was learned is not 0."""
        return CaffeTraits(active_range=(0.0, math.inf))
