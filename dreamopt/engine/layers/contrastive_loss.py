"""ContrastiveLoss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example, Layer, Shape, count
from dreamopt.engine.layers._axes import text
from dreamopt.engine.layers._loss import check_labels

_BESIDE_ZERO = 1e-4


class ContrastiveLoss(Layer):
    """``L = sum (d^2 where the third bottom is not 0, else max(margin - d, 0)^2) / (2 N)``, d the distance of a sample's two vectors.

    ``legacy_version`` takes ``max(margin - d^2, 0)`` for the latter. In the gradient without it, Caffe divides by d + 1e-4
    in place of d, and so does dreamopt.

    References
    ----------
    Caffe, src/caffe/layers/contrastive_loss_layer.cpp, ContrastiveLossLayer.
    """

    # Without legacy_version, Caffe's gradient is not quite the derivative.
    examples = (Example("contrastive_loss_param { legacy_version: true margin: 2 }", ((4, 3), (4, 3), (4,)), labels=(2,)),)
    bottoms = (3, 3)
    is_loss = True

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return a number."""
        a, b, pairs = bottoms
        if len(a) < 2 or a[:2] != b[:2] or count(a, 2) != 1 or count(b, 2) != 1:
            self.fail(f"the bottoms have shapes {text(a)} and {text(b)}; allowed are two of one shape, samples x values")
        check_labels(self, pairs, a[0])
        return [()]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the loss."""
        p, n = self.param.contrastive_loss_param, bottoms[0].shape[0]
        square = (bottoms[0] - bottoms[1]).reshape(n, -1).square().sum(1)
        similar = bottoms[2].detach().reshape(n).long() != 0
        if p.legacy_version:
            apart = (p.margin - square).relu()
        else:
            distance = square.detach().sqrt()
            short = (p.margin - distance).relu()
            slope = -short / (distance + _BESIDE_ZERO) * square
            apart = short.square() + slope - slope.detach()
        return [torch.where(similar, square, apart).sum() / (2 * n)]

    def caffe(self) -> CaffeTraits:
        """Say that Caffe keeps the differences, and their lengths."""
        return CaffeTraits(saves_forward_state=True)
