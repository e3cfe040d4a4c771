"""InfogainLoss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example, Layer, Shape, Weight, count
from dreamopt.engine.layers._axes import axis_of, text
from dreamopt.engine.layers._loss import LEAST_PROBABILITY, check_labels, normaliser
from dreamopt.schema import read_mean

_LEAST = torch.tensor(LEAST_PROBABILITY, dtype=torch.float64).log().item()


class InfogainLoss(Layer):
    """``L = -sum_l H[label, l] log p[l] / n``, p the softmax along ``axis``, n as ``loss_param`` says (default: valid labels).

    H (1, 1, K, K) is the third bottom, or the matrix in the .binaryproto that ``source`` names; nothing is propagated to it.
    A second top gives p.

    References
    ----------
    Caffe, src/caffe/layers/infogain_loss_layer.cpp, InfogainLossLayer.
    """

    examples = (Example(shapes=((4, 3, 5), (4, 5), (1, 1, 3, 3)), tops=2, labels=(1,)),)
    bottoms = (2, 3)
    tops = (1, 2)
    is_loss = True
    no_gradient = (1, 2)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Read H."""
        if self.param.loss_param.HasField("normalize"):
            self.fail("loss_param has normalize; allowed here is normalization")
        if len(bottoms) < 3:
            if not self.param.infogain_loss_param.source:
                self.fail("there is neither a third bottom with the matrix nor a source that names its file")
            self.matrix = torch.from_numpy(read_mean(self.param.infogain_loss_param.source))
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return a number, and the shape of p."""
        b = bottoms[0]
        axis = axis_of(self, self.param.infogain_loss_param.axis, b)
        check_labels(self, bottoms[1], count(b) // b[axis])
        h = bottoms[2] if len(bottoms) > 2 else tuple(self.matrix.shape)
        if h[-2:] != (b[axis], b[axis]) or count(h) != b[axis] ** 2:
            self.fail(f"the matrix has shape {text(h)}, but has to be 1x1x{b[axis]}x{b[axis]}")
        return [(), b][: self.n_tops]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the loss."""
        p, x = self.param.loss_param, bottoms[0]
        axis = self.param.infogain_loss_param.axis % x.dim()
        outer, k, inner = x.shape[:axis].numel(), x.shape[axis], x.shape[axis + 1 :].numel()
        h = (bottoms[2].detach() if len(bottoms) > 2 else self.matrix.to(x)).reshape(k, k)
        labels = bottoms[1].detach().reshape(outer, inner).long()
        counts = labels != p.ignore_label if p.HasField("ignore_label") else torch.ones_like(labels, dtype=torch.bool)
        counted = labels[counts]
        if counted.numel() and not 0 <= int(counted.min()) <= int(counted.max()) < k:
            self.fail(f"the labels go from {int(counted.min())} to {int(counted.max())}; allowed are 0 to {k - 1}")
        log_p = torch.log_softmax(x.reshape(outer, k, inner), 1)
        log_p = log_p + (log_p.clamp(min=_LEAST) - log_p).detach()  # Caffe's gradient passes there
        gained = (h[torch.where(counts, labels, 0)].movedim(2, 1) * log_p).sum(1)
        loss = -torch.where(counts, gained, 0).sum() / normaliser(self, outer, inner, float(counts.sum()), p.VALID)
        return [loss, torch.softmax(x, axis).detach()][: self.n_tops]

    def caffe(self) -> CaffeTraits:
        """Say that Caffe keeps the probabilities."""
        return CaffeTraits(saves_forward_state=True)
