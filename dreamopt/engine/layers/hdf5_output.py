"""HDF5Output."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import MAP, Example, Layer, Shape
from dreamopt.engine.layers._axes import text


class HDF5Output(Layer):
    """Takes data and labels, which Caffe writes to ``file_name``; dreamopt writes nothing.

    References
    ----------
    Caffe, src/caffe/layers/hdf5_output_layer.cpp, HDF5OutputLayer.
    """

    differs = "no file is written, and `dreamopt inspect` says so"
    examples = (Example(shapes=(MAP, (2, 3)), tops=0),)
    bottoms = (2, 2)
    tops = (0, 0)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return nothing."""
        if bottoms[0][:1] != bottoms[1][:1]:
            self.fail(f"the bottoms have shapes {text(bottoms[0])} and {text(bottoms[1])}; allowed are as many samples in both")
        return []

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Do nothing."""
        return []
