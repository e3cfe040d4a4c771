"""Split."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Shape


class Split(Layer):
    """The bottom, handed to several tops; their gradients add up.

    References
    ----------
    Caffe, src/caffe/layers/split_layer.cpp, SplitLayer.
    """

    examples = (Example(tops=3),)
    tops = (1, None)
    shares_data = True

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the bottom for each top."""
        return [bottoms[0]] * self.n_tops

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Nothing is computed."""
        return 0
