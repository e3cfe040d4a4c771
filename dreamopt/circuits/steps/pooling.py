"""Pooling of any kind, as an average."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d

from dreamopt.circuits.kernels import Kernels, Pair
from dreamopt.circuits.steps.step import Step
from dreamopt.engine.layers.pooling import Pooling


class PoolingStep(Step):
    """The average over each window stands for its largest value.

    At the borders of a map AVE divides as Caffe does; the average for MAX and STOCHASTIC is over those places of the window that lie in
    the map.
    """

    def kernels(self, above: Kernels, top: int, place: Pair) -> dict[int, Kernels]:
        """Lay each weight down over its window, in equal parts."""
        layer = self.linear.layer
        assert isinstance(layer, Pooling)
        size, shape = self.linear.size(), self.linear.tops[0]
        everything = layer.param.pooling_param.global_pooling
        kernel = layer.kernel_for(size)
        if everything and not above.placed:
            above = above.placed_at(place, (shape[1], shape[2]))
        n, channels, height, width = above.values.shape
        if above.placed:
            shares = above.values / self._areas(above, kernel, size).to(above.values.dtype)
        else:
            shares = above.values / (kernel[0] * kernel[1])
        ones = torch.ones(1, 1, *kernel, dtype=shares.dtype)
        stride = (layer.stride[0], layer.stride[1])
        spread = conv_transpose2d(shares.reshape(n * channels, 1, height, width), ones, stride=stride)
        offset = (above.offset[0] * stride[0] - layer.pad[0], above.offset[1] * stride[1] - layer.pad[1])
        jump = (above.jump[0] * stride[0], above.jump[1] * stride[1])
        below = replace(above, values=spread.reshape(n, channels, *spread.shape[2:]), offset=offset, jump=jump)
        return {0: below.cut(size) if above.placed else below}

    def uniform(self, above: Tensor, top: int) -> dict[int, Tensor]:
        """Pass them on: the average of equal values is one of them."""
        return {0: above}

    def _areas(self, above: Kernels, kernel: tuple[int, ...], size: Pair) -> Tensor:
        """Return by what the sum over each window of the map is divided, (h, w)."""
        layer = self.linear.layer
        assert isinstance(layer, Pooling)
        average = layer.param.pooling_param.pool == layer.param.pooling_param.AVE
        sides = []
        for axis in (0, 1):
            first = (torch.arange(above.extent[axis]) + above.offset[axis]) * layer.stride[axis] - layer.pad[axis]
            last = (first + kernel[axis]).clamp(max=size[axis] + (layer.pad[axis] if average else 0))
            sides.append((last - (first if average else first.clamp(min=0))).clamp(min=1))
        return sides[0][:, None] * sides[1]
