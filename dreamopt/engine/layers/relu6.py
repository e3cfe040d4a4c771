"""ReLU6."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Elementwise, Example


class ReLU6(Elementwise):
    """``y = min(max(x, 0), 6) + negative_slope min(x, 0)``; the derivative is ``negative_slope`` at 0, and 0 from 6 on.

    Not in Caffe 1.0. In place, it has the gradient of the formula.

    References
    ----------
    The Caffe versions of MobileNetV2, ReLU6Layer.
    """

    fork = "MobileNetV2"
    examples = (Example(), Example("relu6_param { negative_slope: 0.3 }"))

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        slope = self.param.relu6_param.negative_slope
        y = torch.nn.functional.relu6(x)
        return y if slope == 0 else torch.where(x > 0, y, slope * x)

    def caffe(self) -> CaffeTraits:
        """Say that it is open from 0 to 6; with a slope below 0, nothing is said to be flat."""
        return CaffeTraits(active_range=(0.0, 6.0) if self.param.relu6_param.negative_slope == 0 else None)
