"""Threshold."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import Elementwise, Example


class Threshold(Elementwise):
    """``y = 1`` where ``x > threshold``, else 0; no gradient passes.

    References
    ----------
    Caffe, src/caffe/layers/threshold_layer.cpp, ThresholdLayer.
    """

    examples = (Example(),)
    differentiable = False

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return (x > self.param.threshold_param.threshold).to(x.dtype)
