"""SPP."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example, Layer, Shape, Weight, count
from dreamopt.engine.layers._axes import same_rank
from dreamopt.engine.layers.pooling import Pooling
from dreamopt.schema.caffe_pb2 import LayerParameter


class SPP(Layer):
    """A pyramid of poolings, one after another as a vector for each sample: level l has ``2^l x 2^l`` windows that cover the map.

    A window is ``ceil(size / 2^l)`` long, and what is missing is padded, ``floor((missing + 1) / 2)`` on each side. A pyramid of
    one level keeps the four axes.

    References
    ----------
    Caffe, src/caffe/layers/spp_layer.cpp, SPPLayer.
    """

    differs = "STOCHASTIC as in Pooling, by its definition only (Caffe's CPU has none)"
    examples = (
        Example("spp_param { pool: AVE pyramid_height: 2 }"),
        Example("spp_param { pyramid_height: 3 }", ((2, 3, 7, 6),)),
        Example("spp_param { pool: STOCHASTIC pyramid_height: 2 }", ((2, 3, 4, 6),), positive=True),
    )

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the height."""
        if self.param.spp_param.pyramid_height < 1:
            self.fail(f"pyramid_height is {self.param.spp_param.pyramid_height}; allowed is 1 and more")
        return ()

    def _levels(self, shape: Shape) -> list[Pooling]:
        same_rank(self, shape, 4, "SPP")
        levels = []
        for level in range(self.param.spp_param.pyramid_height):
            bins = 2**level
            kernel = [-(-size // bins) for size in shape[2:]]
            pad = [(k * bins - size + 1) // 2 for k, size in zip(kernel, shape[2:], strict=True)]
            param = LayerParameter(name=self.name, type="Pooling", top=self.param.top)
            p = param.pooling_param
            p.pool = self.param.spp_param.pool  # type: ignore[assignment]
            (p.kernel_h, p.kernel_w), (p.pad_h, p.pad_w) = kernel, pad
            p.stride_h, p.stride_w = kernel
            levels.append(Pooling(param, self.phase, self.where))
            levels[-1].setup([shape])
        return levels

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return (N, values of all levels), or what the one level gives."""
        shapes = [level.shape(bottoms)[0] for level in self._levels(bottoms[0])]
        return shapes if len(shapes) == 1 else [(bottoms[0][0], sum(count(s, 1) for s in shapes))]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Pool at each level."""
        tops = [level.forward(bottoms, ())[0] for level in self._levels(tuple(bottoms[0].shape))]
        return tops if len(tops) == 1 else [torch.cat([y.flatten(1) for y in tops], 1)]

    def caffe(self) -> CaffeTraits:
        """Say that for MAX, Caffe keeps where the largest values were."""
        return CaffeTraits(saves_forward_state=self.param.spp_param.pool == self.param.spp_param.MAX)
