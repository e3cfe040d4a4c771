"""ConvolutionDepthwise."""

from dreamopt.engine.layer import Example
from dreamopt.engine.layers.depthwise_convolution import DepthwiseConvolution


class ConvolutionDepthwise(DepthwiseConvolution):
    """`DepthwiseConvolution` under another fork's name.

    References
    ----------
    farmingyard/ShuffleNet, ConvolutionDepthwiseLayer.
    """

    fork = "ShuffleNet"
    examples = (Example("convolution_param { num_output: 3 kernel_size: 2 stride: 2 }"),)
