"""HSwish."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import hardswish

from dreamopt.engine.layer import Elementwise, Example


class HSwish(Elementwise):
    """``y = x min(max(x + 3, 0), 6) / 6``. Not in Caffe 1.0.

    References
    ----------
    Howard et al., Searching for MobileNetV3, 2019, section 5.2.
    """

    fork = "MobileNetV3"
    examples = (Example(),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return hardswish(x)
