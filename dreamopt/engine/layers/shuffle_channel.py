"""ShuffleChannel."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import POINTWISE, Example, Layer, Reach, Shape
from dreamopt.engine.layers._axes import text


class ShuffleChannel(Layer):
    """The channels (axis 1) of ``group`` equal parts in turn: ``y[n, i group + g] = x[n, g C / group + i]``.

    Not in Caffe 1.0.

    References
    ----------
    farmingyard/ShuffleNet, ShuffleChannelLayer; Zhang et al., ShuffleNet, 2017.
    """

    fork = "ShuffleNet"
    examples = (Example("shuffle_channel_param { group: 3 }", ((2, 6, 5, 4),)),)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check that the parts are equal."""
        (x,), group = bottoms, self.param.shuffle_channel_param.group
        if len(x) < 2:
            self.fail(f"the bottom has shape {text(x)}; allowed are 2 axes and more")
        if group < 1 or x[1] % group:
            self.fail(f"group is {group}, which has to divide the {x[1]} channels")
        return [x]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that each place depends on the one at its place."""
        return POINTWISE

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Deal the channels out."""
        (x,), group = bottoms, self.param.shuffle_channel_param.group
        return [x.reshape(x.shape[0], group, -1, *x.shape[2:]).transpose(1, 2).reshape(x.shape)]
