"""MultinomialLogisticLoss."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Shape
from dreamopt.engine.layers._loss import LEAST_PROBABILITY, check_labels, one_label_each


class MultinomialLogisticLoss(Layer):
    """``L = -sum log max(p[label], 1e-20) / N`` for probabilities p; the gradient is ``-1 / max(p, 1e-20)`` also where p is less.

    References
    ----------
    Caffe, src/caffe/layers/multinomial_logistic_loss_layer.cpp, MultinomialLogisticLossLayer.
    """

    examples = (Example(shapes=((4, 3), (4,)), positive=True),)
    bottoms = (2, 2)
    is_loss = True
    no_gradient = (1,)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return a number."""
        check_labels(self, bottoms[1], bottoms[0][0])
        return [()]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the loss."""
        x = bottoms[0].reshape(bottoms[0].shape[0], -1)
        p = x.gather(1, one_label_each(self, bottoms[1], x.shape[1])[:, None])
        clamped = p.detach().clamp(min=LEAST_PROBABILITY)
        return [-(clamped.log() + (p - p.detach()) / clamped).sum() / x.shape[0]]
