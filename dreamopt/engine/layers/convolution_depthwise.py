"""ConvolutionDepthwise."""

from dreamopt.engine.layers.depthwise_convolution import DepthwiseConvolution


class ConvolutionDepthwise(DepthwiseConvolution):
    """`DepthwiseConvolution` under another fork's name.

    References
    ----------
    farmingyard/ShuffleNet, ConvolutionDepthwiseLayer.
    """
