"""SigmoidCrossEntropyLoss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import MAP, Example, Layer, Shape, count
from dreamopt.engine.layers._loss import check_labels, normaliser


class SigmoidCrossEntropyLoss(Layer):
    """``L = -sum (t log s + (1 - t) log(1 - s)) / n``, s the first bottom's sigmoid, t the second bottom, n by default its samples.

    Targets equal to ``ignore_label`` do not count.

    References
    ----------
    Caffe, src/caffe/layers/sigmoid_cross_entropy_loss_layer.cpp, SigmoidCrossEntropyLossLayer.
    """

    examples = (Example(shapes=(MAP, MAP)),)
    bottoms = (2, 2)
    is_loss = True
    no_gradient = (1,)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return a number."""
        check_labels(self, bottoms[1], count(bottoms[0]))
        return [()]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the loss."""
        p, x = self.param.loss_param, bottoms[0]
        t = bottoms[1].detach().reshape(x.shape)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none")
        counts = t.long() != p.ignore_label if p.HasField("ignore_label") else torch.ones_like(t, dtype=torch.bool)
        n = normaliser(self, x.shape[0], x.shape[1:].numel(), float(counts.sum()), p.BATCH_SIZE)
        return [torch.where(counts, loss, 0).sum() / n]

    def caffe(self) -> CaffeTraits:
        """Say that Caffe keeps the sigmoids."""
        return CaffeTraits(saves_forward_state=True)
