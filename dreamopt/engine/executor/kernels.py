"""The kernels that executors are made of, other than convolutions and pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dreamopt.engine.executor.blocks import passing
from dreamopt.engine.executor.executor import Kernel
from dreamopt.engine.executor.masks import ORDINARY, bits_for, mask_size, passed, passed_back, saves_memory
from dreamopt.engine.executor.placement import Outs, target
from dreamopt.engine.graph import Value
from dreamopt.engine.layers.dropout import Dropout
from dreamopt.engine.layers.flatten import Flatten
from dreamopt.engine.layers.inner_product import InnerProduct
from dreamopt.engine.layers.lrn import in_strips, lrn_backward, lrn_forward, lrn_keeps
from dreamopt.engine.layers.relu import ReLU
from dreamopt.engine.layers.softmax import Softmax
from dreamopt.engine.native import eltwise, library
from dreamopt.engine.native import lrn as native_lrn
from dreamopt.engine.native.layout import as_native, is_native
from dreamopt.engine.native.pointwise import bits_shape

if TYPE_CHECKING:
    from dreamopt.engine.backward_rule import ReLUPass
    from dreamopt.engine.layer import Shape
    from dreamopt.engine.layers.lrn import LRN
    from dreamopt.engine.node import Node


_RECORDABLE = (Dropout, Flatten, InnerProduct, Softmax)


class AutogradKernel(Kernel):
    """A layer that no other kernel knows: autograd differentiates it.

    Parameters
    ----------
    node : Node
        The layer in its net.
    """

    def __init__(self, node: Node, reads: Sequence[Value], writes: Sequence[Value]) -> None:
        super().__init__(reads, writes)
        self.node = node
        self.recordable = type(node.layer) in _RECORDABLE

    def forward(self, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Run the layer, recording."""
        device = xs[0].device if xs else torch.device("cpu")
        weights = [blob._data.read(blob.shape, device) for blob in self.node.weights]
        if not keep:
            return list(self.node.compute(xs, weights)), None
        bottoms = [x.detach().requires_grad_(x.is_floating_point()) for x in xs]
        with torch.enable_grad():
            tops = self.node.compute(bottoms, weights)
        return [y.detach() for y in tops], (bottoms, tops)

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Replay the record backwards."""
        bottoms, tops = kept
        pairs = [(y, g) for y, g in zip(tops, grads, strict=True) if g is not None and y.requires_grad]
        if not pairs:
            return [None] * len(bottoms)
        outs, seeds = zip(*pairs, strict=True)
        found: Sequence[Tensor | None] = torch.autograd.grad(outs, bottoms, seeds, retain_graph=True, allow_unused=True)
        return found


class ReLUKernel(Kernel):
    """ReLU on its own, whose backward pass a rule may have changed."""

    recordable = True
    owns_gradient = True

    def __init__(self, reads: Sequence[Value], writes: Sequence[Value], back: ReLUPass = ORDINARY) -> None:
        super().__init__(reads, writes)
        self.back = back
        self.owns_gradient = back.positive or back.masked

    def forward(self, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Cut off what is below 0."""
        y = torch.relu(xs[0])
        return [y], passed(y) if keep and self.back.masked else None

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Cut off the gradient there."""
        assert grads[0] is not None
        return [passed_back(grads[0], kept, self.back.positive, mine[0])]

    def keeps(self, shapes: Mapping[Value, Shape]) -> int:
        """Return the size of the mask."""
        return mask_size(shapes[self.writes[0]]) if self.back.masked else 0


class Sum(Kernel):
    """``y = x1 + x2``, with ``relu`` cut off below 0.

    Parameters
    ----------
    relu : bool
        Whether a ReLU follows.
    back : ReLUPass
        Its backward pass.
    over : int, optional
        Which of the two nobody else reads or keeps, so that it may be written over.
    """

    recordable = True
    places = True
    shares_gradient = True

    def __init__(
        self, reads: Sequence[Value], writes: Sequence[Value], relu: bool, back: ReLUPass = ORDINARY, over: int | None = None
    ) -> None:
        super().__init__(reads, writes)
        self.relu, self.back, self.over = relu, back, over
        self.written_over = None if over is None else self.reads[over]
        self.owns_gradient = relu and (back.positive or back.masked)

    def forward(self, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Add."""
        masked = keep and self.relu and self.back.masked
        y = outs[0] if outs else None
        if y is None and self.over is not None:
            y = xs[self.over]
        if self.relu and saves_memory(xs[0]) and library() is not None and all(map(is_native, xs)):  # of small maps torch is faster
            if y is None:
                y = passing.empty(tuple(xs[0].shape), xs[0].dtype, xs[0].device)
            bits = bits_for(y) if masked else None
            return [eltwise.add(xs[0], xs[1], y, True, bits)], bits
        y = torch.add(xs[0], xs[1]) if y is None else torch.add(xs[0], xs[1], out=y)
        if self.relu:
            y.relu_()
        return [y], passed(y) if masked else None

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Give both the same gradient."""
        assert grads[0] is not None
        g = passed_back(grads[0], kept, self.back.positive, mine[0]) if self.relu else grads[0]
        return [g, g]

    def keeps(self, shapes: Mapping[Value, Shape]) -> int:
        """Return the size of the mask."""
        return mask_size(shapes[self.writes[0]]) if self.relu and self.back.masked else 0


class SlopeKernel(Kernel):
    """``y = max(x, 0) + a min(x, 0)``, a for each channel or for all: a leaky ReLU, or PReLU. Natively, one bit a value is kept.

    Parameters
    ----------
    node : Node
        The layer in its net.
    over : bool
        Whether nobody else reads or keeps the bottom, so that it may be written over.
    """

    recordable = True
    owns_gradient = True
    places = True

    def __init__(self, node: Node, reads: Sequence[Value], writes: Sequence[Value], over: bool = False) -> None:
        super().__init__(reads, writes)
        self.node, self.over, self.plain = node, over, AutogradKernel(node, reads, writes)
        self.written_over = self.reads[0] if over else None

    def forward(self, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Multiply what is below 0."""
        (x,) = xs
        y = outs[0] if outs else None
        if library() is None or not is_native(x):
            (found,), kept = self.plain.forward(xs, keep)
            return [found if y is None else y.copy_(found)], kept
        if y is None:
            y = x if self.over else passing.empty(tuple(x.shape), x.dtype, x.device)
        bits, slopes = bits_for(x, always=True) if keep else None, self._slopes(x)
        return [eltwise.slope(x, slopes, y, bits)], (bits, slopes) if keep else None

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Multiply the gradient there."""
        (grad,) = grads
        assert grad is not None
        if not isinstance(kept[0], Tensor):
            return self.plain.backward(kept, grads, mine, None)
        grad = as_native(grad)
        out = grad if mine[0] else passing.empty(tuple(grad.shape), grad.dtype, grad.device)
        bits, slopes = kept
        return [eltwise.slope_back(grad, bits, slopes, out)]

    def keeps(self, shapes: Mapping[Value, Shape]) -> int:
        """Return the size of the bits, without native kernels that of what is read and written."""
        shape = shapes[self.reads[0]]
        return super().keeps(shapes) if library() is None or len(shape) != 4 else math.prod(bits_shape(shape))

    def _slopes(self, x: Tensor) -> Tensor:
        if isinstance(self.node.layer, ReLU):
            return x.new_full((x.shape[1],), self.node.layer.param.relu_param.negative_slope)
        (blob,) = self.node.weights
        return blob._data.read(blob.shape, x.device).reshape(-1).expand(x.shape[1]).contiguous()


class LRNKernel(Kernel):
    """LRN across channels."""

    recordable = True
    owns_gradient = True
    places = True

    def __init__(self, layer: LRN, reads: Sequence[Value], writes: Sequence[Value]) -> None:
        super().__init__(reads, writes)
        p = layer.param.lrn_param
        self.settings = (p.local_size, p.alpha / p.local_size, p.beta, p.k)

    def forward(self, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Divide."""
        (x,) = xs
        if library() is not None and is_native(x):
            return [native_lrn.lrn(x, target(outs, x.shape, x), *self.settings)], (x,) if keep else None
        out = passing.empty(tuple(x.shape), x.dtype, x.device) if in_strips(x) else None
        y, kept = lrn_forward(x, *self.settings, keep=keep, out=out)
        return [y], kept

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Apply the formula in `dreamopt.engine.layers.lrn`."""
        (grad,) = grads
        assert grad is not None
        x = kept[0]
        if library() is not None and is_native(x):
            grad = as_native(grad)
            out = grad if mine[0] else passing.empty(tuple(x.shape), x.dtype, x.device)
            return [native_lrn.lrn_backward(x, grad, out, *self.settings)]
        return [lrn_backward(kept, grad, *self.settings, mine=mine[0])]

    def keeps(self, shapes: Mapping[Value, Shape]) -> int:
        """Return the size of the bottom; without native kernels, of small ones that of the sums and powers too."""
        count = math.prod(shapes[self.reads[0]])
        return lrn_keeps(count) if library() is None else 4 * count


class ConcatKernel(Kernel):
    """Concat: of bottoms that were written into its top's memory, nothing is left to do."""

    recordable = True
    splits = True
    places = True
    joins = True

    def __init__(self, axis: Callable[[tuple[int, ...]], int], reads: Sequence[Value], writes: Sequence[Value]) -> None:
        super().__init__(reads, writes)
        self.axis = axis

    def joins_channels(self, shape: Shape) -> bool:
        """Return whether the axis is that of the channels."""
        return self.axis(tuple(shape)) == 1

    def forward(self, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Join them."""
        axis = self.axis(tuple(xs[0].shape))
        sizes = [x.shape[axis] for x in xs]
        if xs[0].dim() != 4 or not _alike_on_cpu(xs):
            return [torch.cat(list(xs), axis)], (axis, sizes)
        y = outs[0] if outs else None
        if y is None:
            shape = tuple(sum(sizes) if i == axis else side for i, side in enumerate(xs[0].shape))
            return [torch.cat(list(xs), axis, out=passing.empty(shape, xs[0].dtype, xs[0].device))], (axis, sizes)
        for x, part in zip(xs, torch.split(y, sizes, axis), strict=True):
            if x.data_ptr() != part.data_ptr():
                part.copy_(x)
        return [y], (axis, sizes)

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Give each its part, as a view."""
        axis, sizes = kept
        assert grads[0] is not None
        return torch.split(grads[0], sizes, axis)

    def keeps(self, shapes: Mapping[Value, Shape]) -> int:
        """Return 0: nothing."""
        return 0


def _alike_on_cpu(xs: Sequence[Tensor]) -> bool:
    return all(x.device.type == "cpu" and x.dtype == xs[0].dtype for x in xs)
