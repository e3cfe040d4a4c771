"""Parameter."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example, Layer, Shape, Weight


class Parameter(Layer):
    """A weight of the given shape as a blob: ``y = W``; top and weight are one memory, values and diff.

    References
    ----------
    Caffe, include/caffe/layers/parameter_layer.hpp, ParameterLayer.
    """

    examples = (Example("parameter_param { shape { dim: 3 dim: 2 } }", ()),)
    has_weights = True
    bottoms = (0, 0)

    def caffe(self) -> CaffeTraits:
        """Say that the top is the weight."""
        return CaffeTraits(shares_data=True, shares_diff=True, is_identity=True)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Want W, zeros until it is loaded."""
        return [Weight(self._shape())]

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the shape of W."""
        return [self._shape()]

    def _shape(self) -> Shape:
        shape = tuple(self.param.parameter_param.shape.dim)
        if any(d < 1 for d in shape):
            self.fail(f"the shape is {shape}; allowed are sizes of 1 and more")
        return shape

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Hand W on."""
        return [weights[0].view_as(weights[0])]
