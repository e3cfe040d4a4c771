"""ChannelFilter."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import POINTWISE, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._axes import axis_of, text
from dreamopt.schema.caffe_pb2 import FillerParameter


class ChannelFilter(Layer):
    """The channels (``axis``) of each bottom for which its weight, a number for each channel, is not 0.

    There have to be ``num_output`` of them. The other channels get a gradient of 0. Prototxts call it Filter, as Caffe 1.0 calls
    another type; it has as many tops as bottoms, and a ``filter_param``. Not in Caffe 1.0.

    References
    ----------
    ethanhe42/caffe-pro, src/caffe/layers/filter_layer.cu; He et al., Channel Pruning for Accelerating Very Deep Neural Networks, 2017.
    """

    fork = "channel pruning"
    differs = "prototxts call it Filter, as the fork does; on the CPU too"
    examples = (
        Example("filter_param { num_output: 3 }"),
        Example("filter_param { num_output: 4 axis: 2 }", ((2, 5, 4, 3), (2, 6, 4, 7)), tops=2),
    )
    has_weights = True
    bottoms = (1, None)
    tops = (1, None)
    axis: int

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Want a number for each channel."""
        p = self.param.filter_param
        if self.n_tops != len(bottoms):
            self.fail(f"there are {len(bottoms)} bottoms and {self.n_tops} tops; each bottom needs its own top")
        self.axis = axis_of(self, p.axis, bottoms[0])
        channels = bottoms[0][self.axis]
        if not 0 < p.num_output <= channels:
            self.fail(f"num_output is {p.num_output}; allowed is 1 to {channels}, the bottom's size on axis {self.axis}")
        return [Weight((channels,), FillerParameter(type="constant", value=1))]

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the shapes with ``num_output`` channels."""
        if len({b[self.axis] for b in bottoms}) > 1:
            self.fail(f"the bottoms have shapes {', '.join(map(text, bottoms))}; they need as many channels (axis {self.axis})")
        return [(*b[: self.axis], self.param.filter_param.num_output, *b[self.axis + 1 :]) for b in bottoms]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that each place depends on the one at its place, where channels are picked."""
        return POINTWISE if self.axis == 1 else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Pick the channels."""
        indices = weights[0].detach().nonzero()[:, 0]
        wanted = self.param.filter_param.num_output
        if len(indices) != wanted:
            self.fail(f"its weight chooses {len(indices)} channels, but num_output is {wanted}; load the weights that it was made with")
        return [x.index_select(self.axis, indices) for x in bottoms]
