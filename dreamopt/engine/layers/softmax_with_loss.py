"""SoftmaxWithLoss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import MAP, Example, Layer, Shape, count
from dreamopt.engine.layers._axes import axis_of
from dreamopt.engine.layers._loss import check_labels, normaliser

_TINY = torch.tensor(torch.finfo(torch.float32).tiny).log().item()


class SoftmaxWithLoss(Layer):
    """``L = -sum log p[label] / n`` with p the softmax along ``axis``, and n as ``loss_param`` says (default: valid labels).

    The second bottom holds a label for each place; those equal to ``ignore_label`` do not count. A second top
    gives p; Caffe 1.0 documents it, but aborts on it.

    References
    ----------
    Caffe, src/caffe/layers/softmax_loss_layer.cpp, SoftmaxWithLossLayer.
    """

    differs = "a second top gives the probabilities (Caffe documents it, but aborts on it)"
    examples = (Example(shapes=(MAP, (2, 5, 4)), tops=2),)
    bottoms = (2, 2)
    tops = (1, 2)
    is_loss = True
    no_gradient = (1,)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return a number, and the shape of p."""
        b = bottoms[0]
        axis = axis_of(self, self.param.softmax_param.axis, b)
        check_labels(self, bottoms[1], count(b) // b[axis])
        return [(), b][: self.n_tops]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the loss."""
        p, x = self.param.loss_param, bottoms[0]
        axis = self.param.softmax_param.axis % x.dim()
        outer, inner = x.shape[:axis].numel(), x.shape[axis + 1 :].numel()
        labels = bottoms[1].detach().reshape(outer, inner).long()
        counts = labels != p.ignore_label if p.HasField("ignore_label") else torch.ones_like(labels, dtype=torch.bool)
        counted = labels[counts]
        if counted.numel() and not 0 <= int(counted.min()) <= int(counted.max()) < x.shape[axis]:
            self.fail(f"the labels go from {int(counted.min())} to {int(counted.max())}; allowed are 0 to {x.shape[axis] - 1}")
        log_p = torch.log_softmax(x.reshape(outer, -1, inner), 1).gather(1, torch.where(counts, labels, 0)[:, None])[:, 0]
        # Caffe takes no smaller probability than float32 can write, but lets its gradient pass
        log_p = log_p + (log_p.clamp(min=_TINY) - log_p).detach()
        loss = -torch.where(counts, log_p, 0).sum() / normaliser(self, outer, inner, float(counts.sum()), p.VALID)
        return [loss, torch.softmax(x, axis).detach()][: self.n_tops]

    def caffe(self) -> CaffeTraits:
        """Say that Caffe keeps the probabilities."""
        return CaffeTraits(saves_forward_state=True)
