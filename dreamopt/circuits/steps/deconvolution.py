"""Deconvolution."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from dreamopt.circuits.kernels import Kernels, Pair
from dreamopt.circuits.steps.step import Step
from dreamopt.engine.layers.deconvolution import Deconvolution


class DeconvolutionStep(Step):
    """Kernels with respect to the top are read through the windows of the layer's kernels.

    Its stride lays down a pattern: the kernels of units at one place are not those at the next. They are taken at the place asked for
    unless the units' own jumps skip over the pattern.
    """

    weighted = True

    def kernels(self, above: Kernels, top: int, place: Pair) -> dict[int, Kernels]:
        """Sum the kernels over the layer's windows."""
        layer = self.linear.layer
        assert isinstance(layer, Deconvolution)
        windows, size = layer.windows, self.linear.size(top)
        stride = (windows.stride[0], windows.stride[1])
        if not above.placed and any(above.jump[axis] % stride[axis] for axis in (0, 1)):
            shape = self.linear.tops[top]
            above = above.placed_at(place, (shape[1], shape[2]))
        first, last = [], []
        for axis in (0, 1):
            start = above.offset[axis] + windows.pad[axis]
            first.append(-((windows.extent(axis) - 1 - start) // stride[axis]))
            last.append((start + above.extent[axis] - 1) // stride[axis])
        if min(last[axis] - first[axis] for axis in (0, 1)) < 0:  # no place of the bottom reaches these of the top
            first, last = [0, 0], [0, 0]
        edges = []
        for axis in (1, 0):
            begin = first[axis] * stride[axis] - windows.pad[axis]
            end = last[axis] * stride[axis] - windows.pad[axis] + windows.extent(axis)
            edges += [above.offset[axis] - begin, end - above.offset[axis] - above.extent[axis]]
        dilation = (windows.dilation[0], windows.dilation[1])
        values = conv2d(pad(above.values, edges), self.linear.weights[0], stride=stride, dilation=dilation, groups=layer.groups)
        jump = (above.jump[0] // stride[0], above.jump[1] // stride[1])
        below = replace(above, values=values, offset=(first[0], first[1]), jump=jump)
        return {top: below.cut(size) if above.placed else below}

    def uniform(self, above: Tensor, top: int) -> dict[int, Tensor]:
        """Multiply by the sums of the kernels' taps, which are shared out among the places of the pattern."""
        layer = self.linear.layer
        assert isinstance(layer, Deconvolution)
        sums = self.linear.weights[0].flatten(2).sum(2) / (layer.windows.stride[0] * layer.windows.stride[1])
        parts = [part @ own.t() for part, own in zip(above.chunk(layer.groups, 1), sums.chunk(layer.groups, 0), strict=True)]
        return {top: torch.cat(parts, 1)}
