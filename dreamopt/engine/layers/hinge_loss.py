"""HingeLoss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Shape, count
from dreamopt.engine.layers._loss import check_labels, one_label_each


class HingeLoss(Layer):
    """``L = sum max(0, 1 - s x)^p / N``, s = 1 at the label's place and -1 elsewhere, p = 1 or 2 by ``norm``.

    References
    ----------
    Caffe, src/caffe/layers/hinge_loss_layer.cpp, HingeLossLayer.
    """

    examples = (Example(shapes=((4, 6), (4,))), Example("hinge_loss_param { norm: L2 }", ((4, 6), (4,))))
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
        labels = one_label_each(self, bottoms[1], count(tuple(x.shape), 1))
        sign = torch.full_like(x, -1).scatter(1, labels[:, None], 1)
        margin = (1 - sign * x).relu()
        p = self.param.hinge_loss_param
        return [(margin if p.norm == p.L1 else margin.square()).sum() / x.shape[0]]
