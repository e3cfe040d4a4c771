"""Dropout."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import POINTWISE, Elementwise, Example, Reach, Shape, Weight


class Dropout(Elementwise):
    """In TRAIN, each value is 0 with probability ``dropout_ratio``, else ``x / (1 - ratio)``; in TEST, ``y = x``.

    With ``scale_train: false``, as Faster R-CNN's nets have it, the factor is in TEST: ``x`` in TRAIN, ``y = (1 - ratio) x`` in TEST.

    References
    ----------
    Caffe, src/caffe/layers/dropout_layer.cpp, DropoutLayer.
    """

    differs = "in TRAIN phase torch's random numbers; `scale_train: false`, of Faster R-CNN's fork, scales in TEST"
    examples: ClassVar[tuple[Example, ...]] = (Example(),)

    def caffe(self) -> CaffeTraits:
        """Say that in TEST it is the identity, unless it scales; in TRAIN, Caffe keeps what was dropped."""
        return CaffeTraits(
            is_identity=self.phase == "TEST" and self.param.dropout_param.scale_train, saves_forward_state=self.phase == "TRAIN"
        )

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the ratio."""
        ratio = self.param.dropout_param.dropout_ratio
        if not 0 <= ratio <= 1:
            self.fail(f"dropout_ratio is {ratio:g}; allowed are 0 to 1")
        return ()

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that in TEST phase each value depends on the one at its place; in TRAIN a pass in tiles would draw other numbers."""
        return POINTWISE if self.phase == "TEST" else None

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        p = self.param.dropout_param
        if self.phase == "TEST":
            return x if p.scale_train else x * (1 - p.dropout_ratio)
        if not p.scale_train:
            return x * (torch.rand_like(x) >= p.dropout_ratio)
        return torch.nn.functional.dropout(x, p.dropout_ratio, training=True)
