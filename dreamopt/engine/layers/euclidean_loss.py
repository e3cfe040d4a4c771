"""EuclideanLoss."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import MAP, Example, Layer, Shape, count
from dreamopt.engine.layers._axes import text


class EuclideanLoss(Layer):
    """``L = sum (a - b)^2 / (2 N)``, N the number of samples.

    References
    ----------
    Caffe, src/caffe/layers/euclidean_loss_layer.cpp, EuclideanLossLayer.
    """

    examples = (Example(shapes=(MAP, MAP)),)
    bottoms = (2, 2)
    is_loss = True

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return a number."""
        a, b = bottoms
        if a[0] != b[0] or count(a) != count(b):
            self.fail(f"the bottoms have shapes {text(a)} and {text(b)}; they need as many samples, of as many values")
        return [()]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the loss."""
        a, b = bottoms
        return [(a - b.reshape(a.shape)).square().sum() / (2 * a.shape[0])]

    def caffe(self) -> CaffeTraits:
        """Say that Caffe keeps the difference."""
        return CaffeTraits(saves_forward_state=True)
