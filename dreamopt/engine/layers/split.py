"""Split."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import POINTWISE, Example, Layer, Reach, Shape


class Split(Layer):
    """The bottom, handed to several tops; their gradients add up.

    References
    ----------
    Caffe, src/caffe/layers/split_layer.cpp, SplitLayer.
    """

    examples = (Example(tops=3),)
    tops = (1, None)

    def caffe(self) -> CaffeTraits:
        """Say that the tops are the bottom."""
        return CaffeTraits(shares_data=True, is_identity=True)

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that each place depends on the one at its place."""
        return POINTWISE

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the bottom for each top."""
        return [bottoms[0]] * self.n_tops

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Nothing is computed."""
        return 0
