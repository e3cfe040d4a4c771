"""Convolutions and inner products in bfloat16, with sums in float32; what goes in and comes out stays float32.

A bfloat16 has float32's range and 8 bits of its mantissa. Products of two are exact in float32, so that what is lost is the rounding of
what goes in, and of the result, to 1 part in 256 each. Everything else of a net is computed in float32 as ever: the values are rounded
in front of a product, and widened behind it, which costs less than kernels of pooling, LRN and masks for a second type would gain
(docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dreamopt.engine.executor.blocks import passing
from dreamopt.engine.executor.convolution import Geometry, Packed
from dreamopt.engine.executor.executor import Kernel
from dreamopt.engine.executor.masks import SMALL
from dreamopt.engine.executor.placement import Outs
from dreamopt.engine.executor.stamp import WeightStamp
from dreamopt.engine.layer import count

if TYPE_CHECKING:
    from dreamopt.engine.graph import Value
    from dreamopt.engine.layer import Shape
    from dreamopt.engine.layers.inner_product import InnerProduct
    from dreamopt.engine.node import Node

_SHAPES = 8


class PackedBF16(Packed):
    """Weights of one convolution in bfloat16; as `Packed`, in whose place it is called."""

    dtype = torch.bfloat16

    def __init__(self, w: Tensor, bias: Tensor | None, geometry: Geometry, transform: bool = True) -> None:
        super().__init__(w, bias, geometry, transform=False)
        self._low = self.w.to(torch.bfloat16, memory_format=torch.channels_last)
        self._low_by_shape: dict[torch.Size | None, Tensor] = {}

    def __call__(
        self, x: Tensor, relu: bool = False, into: Tensor | None = None, in_heap: bool = False, out: Tensor | None = None
    ) -> Tensor:
        """Convolve; then cut off below 0, or add to ``into``."""
        y = self._convolved(x, relu)
        if into is not None:
            return into.add_(y)
        if out is not None:
            return out.copy_(y)
        return y.to(x.dtype) if in_heap else _widened(y, x)

    def parts(self, x: Tensor, relu: bool, sizes: Sequence[int], outs: Outs) -> Sequence[Tensor]:
        """Convolve to several results of so many channels each, written to ``outs`` where there are any."""
        ys = torch.split(self._convolved(x, relu), list(sizes), 1)
        places = outs if outs else [None] * len(sizes)
        return [_widened(y, x) if out is None else out.copy_(y) for y, out in zip(ys, places, strict=True)]

    def gated(self, xs: Sequence[Tensor], gates: Sequence[Tensor] | None, into: Tensor | None) -> Tensor | None:
        """Return None: no kernel reads bfloat16 through a gate."""
        return None

    def _convolved(self, x: Tensor, relu: bool) -> Tensor:
        """Return the result before it is float32 again, but for where it is already, with the bias and the ReLU behind."""
        _, stride, pad, dilation, groups = self.geometry
        low = x.to(torch.bfloat16, memory_format=torch.channels_last)
        if not self.packable:
            # A bias in bfloat16 would be one more rounding.
            y = torch.nn.functional.conv2d(low, self._low, None, stride, pad, dilation, groups).to(x.dtype)
            y = y if self.bias is None else y.add_(self.bias[:, None, None])
            return y.relu_() if relu else y
        key = x.shape if x.numel() <= SMALL else None
        w = self._low_by_shape.get(key)
        if w is None:
            if len(self._low_by_shape) >= _SHAPES:
                self._low_by_shape.clear()
            w = torch.ops.mkldnn._reorder_convolution_weight(self._low, pad, stride, dilation, groups, list(x.shape))
            self._low_by_shape[key] = w
        convolve = torch.ops.mkldnn._convolution_pointwise
        found: Tensor = convolve(low, w, self.bias, pad, stride, dilation, groups, "relu" if relu else "none", [], "")
        return found


def _widened(y: Tensor, like: Tensor) -> Tensor:
    return passing.empty(tuple(y.shape), like.dtype, like.device).copy_(y)


class InnerProductBF16(Kernel):
    """An inner product in bfloat16.

    Parameters
    ----------
    node : Node
        The layer in its net.
    layer : InnerProduct
        The same.
    """

    owns_gradient = True

    def __init__(self, node: Node, layer: InnerProduct, reads: Sequence[Value], writes: Sequence[Value]) -> None:
        super().__init__(reads, writes)
        self.node, self.layer = node, layer
        self._stamp = WeightStamp(node.weights)
        self._matrix: Tensor
        self._bias: Tensor | None

    def _prepare(self, device: torch.device) -> None:
        if self._stamp.is_current(device):
            return
        matrix, *bias = (blob._data.read(blob.shape, device) for blob in self.node.weights)
        self._matrix = (matrix.t() if self.layer.transpose else matrix).to(torch.bfloat16, memory_format=torch.contiguous_format)
        self._bias = bias[0] if bias else None
        self._stamp.renew(device)

    def forward(self, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Multiply."""
        (x,) = xs
        self._prepare(x.device)
        rows = x.reshape(*x.shape[: self.layer.axis], self.layer.n_in)
        y = torch.nn.functional.linear(rows.to(torch.bfloat16), self._matrix).to(x.dtype)
        return [y if self._bias is None else y.add_(self._bias)], tuple(x.shape)

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Multiply by the transposed matrix."""
        (grad,) = grads
        assert grad is not None
        return [(grad.to(torch.bfloat16) @ self._matrix).to(grad.dtype).reshape(kept)]

    def keeps(self, shapes: Mapping[Value, Shape]) -> int:
        """Return 0: the gradient of a product by a constant needs none of the values."""
        return 0

    def works_in(self, shapes: Mapping[Value, Shape]) -> int:
        """Return the size of both values in bfloat16."""
        return sum(2 * count(shapes[v]) for v in (*self.reads, *self.writes))
