"""Unpooling."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import MAP, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._axes import same_rank, text
from dreamopt.engine.layers._places import scatter


class Unpooling(Layer):
    """A larger map: each value at its place (MAX), or over its window, whole (TILE) or divided by the window's area (AVE).

    With a mask, the second bottom (the second top of a MAX `Pooling`), MAX puts a value at place ``y width + x`` of a map of zeros;
    without one at the first place of its window, ``(row stride, column stride)``. Windows that overlap add up in TILE and AVE; for MAX
    the last value counts, and has the gradient. The top's size is ``unpool_size``, or ``unpool_h`` by ``unpool_w``; without them
    the larger of ``(size - 1) stride + kernel`` and ``size stride + 1``. Not in Caffe 1.0.

    References
    ----------
    HyeonwooNoh/caffe, src/caffe/layers/unpooling_layer.cpp, UnpoolingLayer; Noh et al., Learning Deconvolution Network for Semantic
    Segmentation, 2015.
    """

    fork = "DeconvNet"
    differs = (
        "of several values for one place the last counts and has the gradient (the fork gives it to all); TILE and AVE start from zeros "
        "and have their derivatives (the fork's may start from what the blob held, and divides TILE's by the area)"
    )
    examples = (
        Example("unpooling_param { kernel_size: 2 stride: 2 unpool_h: 10 unpool_w: 8 }", (MAP, MAP), labels=(1,)),
        Example("unpooling_param { kernel_size: 3 stride: 2 }"),
        Example("unpooling_param { unpool: TILE kernel_size: 3 stride: 2 unpool_h: 10 unpool_w: 9 }"),
        Example("unpooling_param { unpool: AVE kernel_h: 2 kernel_w: 3 stride: 2 }"),
    )
    bottoms = (1, 2)
    kernel: Shape
    stride: Shape

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the windows."""
        p = self.param.unpooling_param
        if p.HasField("kernel_size") == (p.HasField("kernel_h") and p.HasField("kernel_w")):
            self.fail("the kernel has to be given as kernel_size, or as kernel_h and kernel_w, and not both")
        for name, square in (("stride", "stride"), ("pad", "pad"), ("unpool", "unpool_size")):
            both, h, w = (p.HasField(field) for field in (square, f"{name}_h", f"{name}_w"))
            if h != w or (both and h):
                self.fail(f"{square} has to be given, or {name}_h and {name}_w, and not both")
        self.kernel = (p.kernel_size, p.kernel_size) if p.HasField("kernel_size") else (p.kernel_h, p.kernel_w)
        self.stride = (p.stride_h, p.stride_w) if p.HasField("stride_h") else (p.stride, p.stride)
        if min(*self.kernel, *self.stride) < 1:
            self.fail(f"kernel and stride are {text(self.kernel)} and {text(self.stride)}; allowed is 1 and more")
        if p.pad or p.pad_h or p.pad_w:
            self.fail("a pad is given; allowed is 0")
        if len(bottoms) == 2 and p.unpool != p.MAX:
            self.fail("a mask (the second bottom) is for MAX only")
        return ()

    def size(self, x: Sequence[int]) -> Shape:
        """Return the top's height and width for a bottom of this shape."""
        p = self.param.unpooling_param
        if p.HasField("unpool_size"):
            return p.unpool_size, p.unpool_size
        if p.HasField("unpool_h"):
            return p.unpool_h, p.unpool_w
        height, width = (max((x[2 + i] - 1) * self.stride[i] + self.kernel[i], x[2 + i] * self.stride[i] + 1) for i in (0, 1))
        return height, width

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check that each value has its place."""
        same_rank(self, bottoms[0], 4, "Unpooling")
        if len(bottoms) == 2 and bottoms[0] != bottoms[1]:
            self.fail(f"the bottom has shape {text(bottoms[0])}, the mask {text(bottoms[1])}; they have to be equal")
        size = self.size(bottoms[0])
        if min(size) < 1:
            self.fail(f"the top would be {text(size)}; allowed is 1 and more")
        return [(*bottoms[0][:2], *size)]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say how the windows move; a mask counts places of the whole map, and a size given is the whole map's."""
        p = self.param.unpooling_param
        if len(bottoms) == 2 or p.HasField("unpool_size") or p.HasField("unpool_h"):
            return None
        stride = (self.stride[0], self.stride[1])
        return Reach.spread((1, 1) if p.unpool == p.MAX else (self.kernel[0], self.kernel[1]), stride)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Put the values where they belong."""
        x, p = bottoms[0], self.param.unpooling_param
        size = self.size(x.shape)
        starts = [torch.arange(x.shape[2 + i], device=x.device) * self.stride[i] for i in (0, 1)]
        if p.unpool == p.MAX:
            if len(bottoms) == 2:
                return [scatter(self, x, bottoms[1], size)]
            rows, columns = (start.clamp(max=size[i] - 1) for i, start in enumerate(starts))
            return [scatter(self, x, (rows[:, None] * size[1] + columns).expand(x.shape), size)]
        # Which rows of the top each row of the bottom covers, (size, rows), and columns likewise: windows are products of the two.
        covers = []
        for i, start in enumerate(starts):
            place = torch.arange(size[i], device=x.device)[:, None]
            cover = ((place >= start) & (place < start + self.kernel[i])).to(x.dtype)
            if p.unpool == p.AVE:
                cover = cover / (size[i] - start).clamp(1, self.kernel[i])
            covers.append(cover)
        return [covers[0] @ x @ covers[1].T]

    def caffe(self) -> CaffeTraits:
        """Say that Caffe keeps where the values went."""
        return CaffeTraits(saves_forward_state=True)
