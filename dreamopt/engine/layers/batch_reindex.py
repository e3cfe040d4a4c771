"""BatchReindex."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import MAP, Example, Layer, Shape
from dreamopt.engine.layers._axes import same_rank


class BatchReindex(Layer):
    """``y[n] = x[i[n]]``: samples of the first bottom, as often and in the order that the second one says.

    References
    ----------
    Caffe, src/caffe/layers/batch_reindex_layer.cpp, BatchReindexLayer.
    """

    examples = (Example(shapes=(MAP, (5,))),)
    bottoms = (2, 2)
    no_gradient = (1,)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return as many samples as there are indices."""
        same_rank(self, bottoms[1], 1, "the index of BatchReindex")
        return [(*bottoms[1], *bottoms[0][1:])]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Pick the samples."""
        x, index = bottoms[0], bottoms[1].detach()
        if index.numel() and not 0 <= float(index.min()) <= float(index.max()) < x.shape[0]:
            self.fail(f"the indices go from {index.min():g} to {index.max():g}; allowed are 0 to {x.shape[0] - 1}")
        return [x.index_select(0, index.long())]
