"""A factor and a shift for each channel, and the ReLU behind them, in one pass.

So are BatchNorm with stored statistics and Scale computed that are not folded into a convolution, as in front of those of a DenseNet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dreamopt.engine.executor.blocks import passing
from dreamopt.engine.executor.convolution import affine_of
from dreamopt.engine.executor.executor import Kernel
from dreamopt.engine.executor.placement import Outs, target
from dreamopt.engine.executor.stamp import WeightStamp
from dreamopt.engine.graph import Value
from dreamopt.engine.layer import count
from dreamopt.engine.native import library, pointwise
from dreamopt.engine.native.layout import is_native

if TYPE_CHECKING:
    from dreamopt.engine.layer import Shape
    from dreamopt.engine.node import Node


class AffineKernel(Kernel):
    """``y = factor x + shift``, cut off below 0 with ``relu``.

    Of a ReLU, the bottom is kept, which the layers of a dense block share, and where it cut is worked out again.

    Parameters
    ----------
    nodes : sequence of Node
        BatchNorm with stored statistics, or Scale, in order.
    relu : bool
        Whether a ReLU follows.
    """

    recordable = True
    owns_gradient = True
    adds = True
    places = True

    def __init__(self, nodes: Sequence[Node], reads: Sequence[Value], writes: Sequence[Value], relu: bool) -> None:
        super().__init__(reads, writes)
        self.nodes, self.relu = tuple(nodes), relu
        self._stamp = WeightStamp([blob for node in nodes for blob in node.weights])
        self.factor: Tensor
        self.shift: Tensor

    def forward(self, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Multiply and add."""
        (x,) = xs
        self._prepare(x.device)
        kept = (x if self.relu else None) if keep else None
        y = outs[0] if outs else None
        if library() is not None and is_native(x):
            return [pointwise.affine(x, self.factor, self.shift, self.relu, target(outs, x.shape, x))], kept
        found = self._at(x)
        found = found.relu_() if self.relu else found
        return [found if y is None else y.copy_(found)], kept

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Multiply the gradient, where the ReLU let values through."""
        (grad,) = grads
        assert grad is not None
        images = [x for x in (grad, kept, into) if x is not None]
        if library() is not None and all(map(is_native, images)):
            out = into if into is not None else grad if mine[0] else passing.empty(tuple(grad.shape), grad.dtype, grad.device)
            return [pointwise.affine_back(grad, kept, self.factor, self.shift, out, add=into is not None)]
        if kept is not None:
            grad = torch.ops.aten.threshold_backward(grad, self._at(kept), 0)
        found = grad * _along(self.factor, grad)
        return [found if into is None else into.add_(found)]

    def keeps(self, shapes: Mapping[Value, Shape]) -> int:
        """Return the size of the bottom, with a ReLU."""
        return 4 * count(shapes[self.reads[0]]) if self.relu else 0

    def _at(self, x: Tensor) -> Tensor:
        return torch.addcmul(_along(self.shift, x), x, _along(self.factor, x))

    def _prepare(self, device: torch.device) -> None:
        """Make the factors and shifts, unless nobody has touched the net's weights since."""
        if self._stamp.is_current(device):
            return
        factor, shift = torch.ones((), device=device), torch.zeros((), device=device)
        for node in self.nodes:
            times, plus = affine_of(node.layer, [blob._data.read(blob.shape, device) for blob in node.weights])
            factor, shift = factor * times, shift * times if plus is None else shift * times + plus
        self.factor, self.shift = factor.contiguous(), shift.contiguous()
        self._stamp.renew(device)


def _along(weights: Tensor, x: Tensor) -> Tensor:
    """Return a number for each channel, to be broadcast over ``x``."""
    return weights.reshape(-1, *[1] * (x.dim() - 2))
