"""MatWrite."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import MAP, Example, Layer, Shape


class MatWrite(Layer):
    """Takes what DeepLab's Caffe writes to MATLAB files; dreamopt writes nothing. Not in Caffe 1.0.

    References
    ----------
    DeepLab's Caffe, MatWriteLayer.
    """

    fork = "DeepLab"
    differs = "no file is written, and `dreamopt inspect` says so"
    examples = (Example(shapes=(MAP, (2, 3)), tops=0),)
    bottoms = (1, None)
    tops = (0, 0)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return nothing."""
        return []

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Do nothing."""
        return []
