"""Normalize."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.layer import POINTWISE, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._axes import text
from dreamopt.schema.caffe_pb2 import FillerParameter, NormalizeParameter


class Normalize(Layer):
    """``y = s x / sqrt(sum x^2 + eps)``, the sum over the channels (axis 1) at each place.

    With ``across_spatial``, the sum is over all of a sample. s is a weight: a number for each channel, or with
    ``channel_shared`` one number. Not in Caffe 1.0.

    References
    ----------
    weiliu89/caffe, branch ssd, NormalizeLayer; Liu et al., ParseNet, 2015.
    """

    fork = "SSD"
    examples: ClassVar[tuple[Example, ...]] = (Example(), Example("norm_param { across_spatial: false channel_shared: false eps: 0.1 }"))
    has_weights = True
    channels: int

    @property
    def options(self) -> NormalizeParameter:
        """The layer's parameters."""
        return self.param.norm_param

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Want the scale, () or (C,)."""
        p = self.options
        if len(bottoms[0]) < 2:
            self.fail(f"the bottom has shape {text(bottoms[0])}; allowed are 2 axes and more")
        if p.eps < 0:
            self.fail(f"eps is {p.eps:g}; allowed is 0 and more")
        self.channels = bottoms[0][1]
        filler = p.scale_filler if p.HasField("scale_filler") else FillerParameter(type="constant", value=1)
        return [Weight(() if p.channel_shared else (self.channels,), filler)]

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check the channels."""
        if len(bottoms[0]) < 2 or bottoms[0][1] != self.channels:
            self.fail(f"the bottom has shape {text(bottoms[0])}, but the net was made for {self.channels} channels on axis 1")
        return [bottoms[0]]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that over channels each place depends on the one at its place."""
        return None if self.options.across_spatial else POINTWISE

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Divide by the norm, and scale."""
        p, x, scale = self.options, bottoms[0], weights[0]
        axes = tuple(range(1, x.dim())) if p.across_spatial else (1,)
        norm = ((x * x).sum(axes, keepdim=True) + p.eps).sqrt()
        return [x / norm * (scale if p.channel_shared else scale.reshape(-1, *[1] * (x.dim() - 2)))]
