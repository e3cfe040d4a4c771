"""Accuracy."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import MAP, Example, Layer, Shape, Weight, count
from dreamopt.engine.layers._axes import axis_of
from dreamopt.engine.layers._loss import check_labels


class Accuracy(Layer):
    """The share of predictions whose label is among the ``top_k`` values along ``axis``; an equal value counts as better.

    Labels equal to ``ignore_label`` do not count. A second top gives the share for each class. No gradient passes.

    References
    ----------
    Caffe, src/caffe/layers/accuracy_layer.cpp, AccuracyLayer.
    """

    examples = (Example("accuracy_param { top_k: 2 }", (MAP, (2, 5, 4)), tops=2, labels=(1,)),)
    differentiable = False
    bottoms = (2, 2)
    tops = (1, 2)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check ``top_k``."""
        p, b = self.param.accuracy_param, bottoms[0]
        n = b[axis_of(self, p.axis, b)]
        if not 1 <= p.top_k <= n:
            self.fail(f"top_k is {p.top_k} of {n} classes; allowed are 1 to {n}")
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return a number, and one for each class."""
        b = bottoms[0]
        n = b[axis_of(self, self.param.accuracy_param.axis, b)]
        check_labels(self, bottoms[1], count(b) // n)
        return [(), (n,)][: self.n_tops]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Count."""
        p, x = self.param.accuracy_param, bottoms[0].detach()
        axis = p.axis % x.dim()
        x = x.movedim(axis, -1).reshape(-1, x.shape[axis])
        labels = bottoms[1].detach().reshape(-1).long()
        if p.HasField("ignore_label"):
            x, labels = x[labels != p.ignore_label], labels[labels != p.ignore_label]
        right = ((x >= x.gather(1, labels[:, None])).sum(1) <= p.top_k).to(x.dtype)
        zeros = x.new_zeros(x.shape[1])
        each = zeros.index_add(0, labels, right) / zeros.index_add(0, labels, torch.ones_like(right)).clamp(min=1)
        return [right.mean() if len(labels) else right.sum(), each][: self.n_tops]
