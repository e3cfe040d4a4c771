"""Convolution, in groups or of each channel by itself."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d

from dreamopt.circuits.kernels import Kernels, Pair
from dreamopt.circuits.steps.step import Step
from dreamopt.engine.layers.convolution import Convolution


class ConvolutionStep(Step):
    """Kernels with respect to the top are laid down over the bottom, as a transposed convolution lays them.

    Of single units it is their weights as they stand in the file, so that a layer's own weights are read and nothing is computed.
    """

    weighted = True

    def kernels(self, above: Kernels, top: int, place: Pair) -> dict[int, Kernels]:
        """Convolve the kernels with the weights."""
        layer, weights = self._layer, self.linear.weights[0]
        windows = layer.windows
        stride, padding, dilation = ((pair[0], pair[1]) for pair in (windows.stride, windows.pad, windows.dilation))
        single = above.of_one_channel()
        if single is not None:
            channels, factors = single
            values = self._own(channels, factors, weights)
        elif above.extent == (1, 1) and layer.groups == 1 and dilation == (1, 1):
            values = (above.values[:, :, 0, 0] @ weights.flatten(1)).reshape(-1, *weights.shape[1:])
        else:
            values = conv_transpose2d(above.values, weights, stride=stride, groups=layer.groups, dilation=dilation)
        offset = (above.offset[0] * stride[0] - padding[0], above.offset[1] * stride[1] - padding[1])
        below = replace(above, values=values, offset=offset, jump=(above.jump[0] * stride[0], above.jump[1] * stride[1]))
        return {top: below.cut(self.linear.size(top)) if above.placed else below}

    def uniform(self, above: Tensor, top: int) -> dict[int, Tensor]:
        """Multiply by the sums of the kernels' taps."""
        layer = self._layer
        sums = self.linear.weights[0].flatten(2).sum(2)
        parts = [part @ own for part, own in zip(above.chunk(layer.groups, 1), sums.chunk(layer.groups, 0), strict=True)]
        return {top: torch.cat(parts, 1)}

    @property
    def _layer(self) -> Convolution:
        layer = self.linear.layer
        assert isinstance(layer, Convolution)
        return layer

    def _own(self, channels: Tensor, factors: Tensor, weights: Tensor) -> Tensor:
        """Return the weights of some of the layer's units, (n, channels of the bottom, h, w), each times a factor."""
        layer = self._layer
        own = weights[channels] * factors[:, None, None, None]
        dilation = layer.windows.dilation
        if layer.groups > 1:
            width = weights.shape[1]
            spread = own.new_zeros(len(own), layer.groups, width, *own.shape[2:])
            spread[torch.arange(len(own)), channels // (layer.n_out // layer.groups)] = own
            own = spread.reshape(len(own), layer.n_in, *own.shape[2:])
        if (dilation[0], dilation[1]) == (1, 1):
            return own
        held = own.new_zeros(*own.shape[:2], layer.windows.extent(0), layer.windows.extent(1))
        held[:, :, :: dilation[0], :: dilation[1]] = own
        return held
