"""Crop."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import MAP, Example, Layer, Reach, Shape
from dreamopt.engine.layers._axes import axis_of, text


class Crop(Layer):
    """The first bottom, cut to the second's size along the axes from ``axis`` on, beginning at ``offset`` (one, or one each).

    The second bottom gives its shape alone and gets no gradient.

    References
    ----------
    Caffe, src/caffe/layers/crop_layer.cpp, CropLayer.
    """

    examples = (Example("crop_param { offset: 1 }", (MAP, (2, 3, 3, 2))),)
    bottoms = (2, 2)

    def cuts(self, x: Shape, size: Shape) -> list[tuple[int, int]]:
        """Return (offset, size) for each axis of ``x``."""
        p = self.param.crop_param
        start, offsets = axis_of(self, p.axis, x), list(p.offset) or [0]
        if len(offsets) > 1 and len(offsets) != len(x) - start:
            self.fail(f"there are {len(offsets)} offsets for the {len(x) - start} axes from {start} on; allowed are one, or one for each")
        if len(size) < len(x):
            self.fail(f"the second bottom has shape {text(size)}, with fewer axes than the first, {text(x)}")
        cuts = [(0, d) for d in x[:start]]
        for i in range(start, len(x)):
            offset = offsets[0] if len(offsets) == 1 else offsets[i - start]
            if x[i] - offset < size[i]:
                self.fail(f"axis {i} of the first bottom has {x[i]} values, too few for {size[i]} from offset {offset} on")
            cuts.append((offset, size[i]))
        return cuts

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the cut shape."""
        return [tuple(n for _, n in self.cuts(bottoms[0], bottoms[1]))]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that a place depends on the one ``offset`` further on in the first bottom; the second has the place itself."""
        if len(bottoms[0]) != 4:
            return None
        down, right = (offset for offset, _ in self.cuts(bottoms[0], bottoms[1])[2:])
        return Reach((down + 1, right + 1))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Cut the first bottom."""
        x = bottoms[0]
        for i, (offset, n) in enumerate(self.cuts(tuple(x.shape), tuple(bottoms[1].shape))):
            x = x.narrow(i, offset, n)
        return [x]

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Nothing is computed."""
        return 0
