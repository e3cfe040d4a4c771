"""Reshape."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example, Layer, Shape, count
from dreamopt.engine.layers._axes import text


class Reshape(Layer):
    """The same numbers under another shape; ``num_axes`` axes (-1: all) from ``axis`` on are replaced by ``shape``.

    In ``shape``, 0 copies the bottom's size at that place, and one -1 takes what is left.

    References
    ----------
    Caffe, src/caffe/layers/reshape_layer.cpp, ReshapeLayer.
    """

    examples = (Example("reshape_param { axis: 1 shape { dim: 5 dim: -1 } }"),)

    def caffe(self) -> CaffeTraits:
        """Say that the top is the bottom in another shape."""
        return CaffeTraits(shares_data=True, shares_diff=True, is_identity=True)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Work out the new shape."""
        p, b = self.param.reshape_param, bottoms[0]
        n = len(b)
        start = p.axis if p.axis >= 0 else n + p.axis + 1
        if not 0 <= start <= n:
            self.fail(f"axis {p.axis} is out of range for a bottom of shape {text(b)}; allowed are {-n - 1} to {n}")
        end = n if p.num_axes == -1 else start + p.num_axes
        if p.num_axes < -1 or end > n:
            self.fail(
                f"num_axes is {p.num_axes} from axis {start} of a bottom of shape {text(b)}; allowed are 0 to {n - start}, or -1 for all"
            )
        new = []
        for i, d in enumerate(p.shape.dim):
            if d == 0 and start + i >= n:
                self.fail(f"dim {i} of the new shape is 0, but the bottom of shape {text(b)} has no axis {start + i} to copy")
            new.append(b[start + i] if d == 0 else d)
        if min(new, default=0) < -1 or new.count(-1) > 1:
            self.fail(f"the new shape is {list(p.shape.dim)}; allowed are sizes, 0 to copy, and one -1 to work out")
        if -1 in new:
            known = count(b, 0, start) * count(b, end) * -count(new)
            new[new.index(-1)] = count(b) // known if known and count(b) % known == 0 else -1
        top = (*b[:start], *new, *b[end:])
        if -1 in new or count(top) != count(b):
            self.fail(f"a bottom of shape {text(b)} ({count(b)} values) cannot be given the shape {list(p.shape.dim)} from axis {start} on")
        return [top]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Reshape, in the order of the axes, whatever the layout in memory."""
        return [bottoms[0].reshape(self.shape([tuple(bottoms[0].shape)])[0])]

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Nothing is computed."""
        return 0
