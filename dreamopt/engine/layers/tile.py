"""Tile."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import POINTWISE, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._axes import axis_of


class Tile(Layer):
    """``tiles`` copies of the bottom one after another along ``axis``.

    References
    ----------
    Caffe, src/caffe/layers/tile_layer.cpp, TileLayer.
    """

    examples = (Example("tile_param { tiles: 3 }"),)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the number of copies."""
        if self.param.tile_param.tiles < 1:
            self.fail(f"tiles is {self.param.tile_param.tiles}; allowed is 1 and more")
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Multiply the axis."""
        p, b = self.param.tile_param, bottoms[0]
        axis = axis_of(self, p.axis, b)
        return [(*b[:axis], b[axis] * p.tiles, *b[axis + 1 :])]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that copies of channels depend on the place itself."""
        return POINTWISE if axis_of(self, self.param.tile_param.axis, bottoms[0]) == 1 else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Copy."""
        x, p = bottoms[0], self.param.tile_param
        axis = p.axis % x.dim()
        return [x.unsqueeze(axis).expand(*x.shape[:axis], p.tiles, *x.shape[axis:]).flatten(axis, axis + 1)]
