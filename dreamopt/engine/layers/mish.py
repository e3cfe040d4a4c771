"""Mish."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import mish

from dreamopt.engine.layer import Elementwise, Example


class Mish(Elementwise):
    """``y = x tanh(log(1 + exp(x)))``. Not in Caffe 1.0.

    References
    ----------
    ChenYingpeng/darknet2caffe, MishLayer; Misra, Mish, 2019; Bochkovskiy et al., YOLOv4, 2020.
    """

    fork = "YOLO v4"
    examples = (Example(),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return mish(x)
