"""Silence."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import MAP, Example, Layer, Shape


class Silence(Layer):
    """Takes blobs that nobody else reads, so that they are no outputs of the net; its backward pass writes zeros as their diffs.

    References
    ----------
    Caffe, src/caffe/layers/silence_layer.cpp, SilenceLayer.
    """

    examples = (Example(shapes=(MAP, (2, 3)), tops=0),)
    bottoms = (1, None)
    tops = (0, 0)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Do nothing."""
        return []

    def caffe(self) -> CaffeTraits:
        """Say that its backward pass writes zeros."""
        return CaffeTraits(zeroes_bottom_diffs=True)

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Nothing is computed."""
        return 0
