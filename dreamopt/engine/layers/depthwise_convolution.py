"""DepthwiseConvolution."""

from collections.abc import Sequence

from dreamopt.engine.layer import Example, Shape, Weight
from dreamopt.engine.layers._axes import axis_of
from dreamopt.engine.layers.convolution import Convolution


class DepthwiseConvolution(Convolution):
    """A `Convolution` of each channel by itself: ``group`` is the number of channels, and need not be given.

    Not in Caffe 1.0.

    References
    ----------
    yonghenglh6/DepthwiseConvolution, DepthwiseConvolutionLayer; Howard et al., MobileNets, 2017.
    """

    fork = "MobileNet"
    differs = "all else as Convolution"
    examples = (Example("convolution_param { num_output: 6 kernel_size: 3 pad: 1 }"),)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Want the kernels (out, 1, ...) and, with ``bias_term``, the biases (out,)."""
        p = self.param.convolution_param
        channels = bottoms[0][axis_of(self, p.axis, bottoms[0])]
        if p.group not in (1, channels):
            self.fail(f"group is {p.group}; allowed is the number of channels, {channels}, or none")
        self.param = type(self.param).FromString(self.param.SerializeToString())  # the net's own stays as it is written
        self.param.convolution_param.group = channels
        return super().setup(bottoms)
