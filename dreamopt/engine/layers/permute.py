"""Permute."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import POINTWISE, Example, Layer, Reach, Shape
from dreamopt.engine.layers._axes import text


class Permute(Layer):
    """The axes in another ``order``: axis i of the top is axis ``order[i]`` of the bottom; those not named come last, as they stood.

    Not in Caffe 1.0.

    References
    ----------
    weiliu89/caffe, branch ssd, PermuteLayer.
    """

    fork = "SSD"
    examples = (Example("permute_param { order: 0 order: 2 order: 3 order: 1 }"),)

    def order(self, n: int) -> list[int]:
        """Return the bottom's axes as the top has them."""
        order = list(self.param.permute_param.order)
        if len(order) > n:
            self.fail(f"order names {len(order)} axes, but the bottom has {n}")
        for axis in order:
            if axis >= n or order.count(axis) > 1:
                self.fail(f"order is {text(order)}; allowed is each axis from 0 to {n - 1}, once")
        return order + [axis for axis in range(n) if axis not in order]

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Permute the shape."""
        return [tuple(bottoms[0][axis] for axis in self.order(len(bottoms[0])))]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that where rows and columns stay, each place depends on the one at its place."""
        return POINTWISE if len(bottoms[0]) == 4 and self.order(4)[2:] == [2, 3] and self.order(4)[0] == 0 else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Permute the values."""
        return [bottoms[0].permute(self.order(bottoms[0].dim())).contiguous()]
