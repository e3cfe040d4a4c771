"""Dropout."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Elementwise, Shape, Weight


class Dropout(Elementwise):
    """In TRAIN, each value is 0 with probability ``dropout_ratio``, else ``x / (1 - ratio)``; in TEST, ``y = x``.

    References
    ----------
    Caffe, src/caffe/layers/dropout_layer.cpp, DropoutLayer.
    """

    @property
    def keeps_values(self) -> bool:
        """Whether it is the identity."""
        return self.phase == "TEST"

    @property
    def remembers(self) -> bool:
        """What was dropped."""
        return self.phase == "TRAIN"

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the ratio."""
        ratio = self.param.dropout_param.dropout_ratio
        if not 0 <= ratio <= 1:
            self.fail(f"dropout_ratio is {ratio:g}; allowed are 0 to 1")
        return ()

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        if self.phase == "TEST":
            return x
        return torch.nn.functional.dropout(x, self.param.dropout_param.dropout_ratio, training=True)
