"""Filter."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Shape, count
from dreamopt.engine.layers._axes import text


class Filter(Layer):
    """The samples of each bottom but the last for which the last one, a number for each sample, is not 0.

    How many there are is known only when the layer runs: `shape` says how many there can be. Where there are none, the tops
    have no samples and the bottoms' diffs are 0; Caffe's backward pass divides by zero there.

    References
    ----------
    Caffe, src/caffe/layers/filter_layer.cpp, FilterLayer.
    """

    differs = (
        "a program says the largest shape that its tops can have; where no sample is chosen, the diffs are 0 (Caffe: a division by zero)"
    )
    examples = (Example(shapes=((6, 3, 2), (6, 4), (6, 1)), tops=2),)
    bottoms = (2, None)
    tops = (1, None)
    no_gradient = (-1,)
    shape_follows_data = True

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the shapes with all samples."""
        *samples, selector = bottoms
        if self.n_tops != len(samples):
            self.fail(f"there are {self.n_tops} tops for {len(bottoms)} bottoms; allowed is one for each but the last")
        if not selector or count(selector, 1) != 1 or any(b[:1] != selector[:1] for b in samples):
            shapes = ", ".join(text(b) for b in bottoms)
            self.fail(f"the bottoms have shapes {shapes}; the last one needs one value for each sample, and all as many samples")
        return samples

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Pick the samples."""
        indices = bottoms[-1].detach().flatten().nonzero()[:, 0]
        return [x.index_select(0, indices) for x in bottoms[:-1]]
