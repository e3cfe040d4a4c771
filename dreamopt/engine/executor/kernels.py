"""The kernels that tapes are made of, other than convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dreamopt.engine.executor.executor import Kernel
from dreamopt.engine.graph import Value
from dreamopt.engine.layers.lrn import lrn_backward, lrn_forward

if TYPE_CHECKING:
    from dreamopt.engine.layer import Shape
    from dreamopt.engine.layers.lrn import LRN
    from dreamopt.engine.layers.pooling import Pooling
    from dreamopt.engine.node import Node

_max_pool = torch.ops.aten.max_pool2d_with_indices
_max_pool_backward = torch.ops.aten.max_pool2d_with_indices_backward


def masked(grad: Tensor, y: Tensor) -> Tensor:
    """Return ReLU's backward pass: the gradient where the result ``y`` is above 0, and 0 elsewhere."""
    out: Tensor = torch.ops.aten.threshold_backward(grad, y, 0)
    return out


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

    def forward(self, xs: Sequence[Tensor]) -> tuple[Sequence[Tensor], Any]:
        """Run the layer, recording."""
        device = xs[0].device if xs else torch.device("cpu")
        weights = [blob._data.read(blob.shape, device) for blob in self.node.weights]
        bottoms = [x.detach().requires_grad_(x.is_floating_point()) for x in xs]
        with torch.enable_grad():
            tops = self.node.compute(bottoms, weights)
        return [y.detach() for y in tops], (bottoms, tops)

    def backward(self, kept: Any, grads: Sequence[Tensor | None], into: Tensor | None) -> Sequence[Tensor | None]:
        """Replay the record backwards."""
        bottoms, tops = kept
        pairs = [(y, g) for y, g in zip(tops, grads, strict=True) if g is not None and y.requires_grad]
        if not pairs:
            return [None] * len(bottoms)
        outs, seeds = zip(*pairs, strict=True)
        found: Sequence[Tensor | None] = torch.autograd.grad(outs, bottoms, seeds, retain_graph=True, allow_unused=True)
        return found


class ReLUKernel(Kernel):
    """ReLU on its own."""

    owns_gradient = True

    def forward(self, xs: Sequence[Tensor]) -> tuple[Sequence[Tensor], Any]:
        """Cut off what is below 0."""
        y = torch.relu(xs[0])
        return [y], y

    def backward(self, kept: Any, grads: Sequence[Tensor | None], into: Tensor | None) -> Sequence[Tensor | None]:
        """Cut off the gradient there."""
        assert grads[0] is not None
        return [masked(grads[0], kept)]


class Sum(Kernel):
    """``y = x1 + x2``, with ``relu`` cut off below 0."""

    def __init__(self, reads: Sequence[Value], writes: Sequence[Value], relu: bool) -> None:
        super().__init__(reads, writes)
        self.relu = self.owns_gradient = relu

    def forward(self, xs: Sequence[Tensor]) -> tuple[Sequence[Tensor], Any]:
        """Add."""
        y = torch.add(xs[0], xs[1])
        return ([y.relu_()], y) if self.relu else ([y], None)

    def backward(self, kept: Any, grads: Sequence[Tensor | None], into: Tensor | None) -> Sequence[Tensor | None]:
        """Give both the same gradient."""
        assert grads[0] is not None
        g = masked(grads[0], kept) if self.relu else grads[0]
        return [g, g]


def _torch_windows(layer: Pooling, shape: Shape) -> tuple[Shape, Shape, Shape, tuple[int, int], bool] | None:
    """Return torch's kernel, stride, pad, dilation and ceil mode for MAX of a bottom of this shape; None if it takes more."""
    p, size = layer.param.pooling_param, shape[2:]
    kernel = layer.kernel_for(size)
    if p.pool != p.MAX or layer.n_tops > 1 or not layer.torch_padding_fits(size, kernel, layer.shape([shape])[0][2:]):
        return None
    return kernel, layer.stride, layer.pad, (1, 1), p.round_mode == p.CEIL


class MaxPool(Kernel):
    """MAX pooling, and where its bottom is a ReLU's result that nobody else reads, that ReLU's backward pass.

    The largest value of a window is above 0 exactly if the gradient passes the ReLU where it lies, so that the smaller
    top can be masked instead of the bottom.
    """

    owns_gradient = True

    def __init__(self, node: Node, layer: Pooling, reads: Sequence[Value], writes: Sequence[Value], mask: bool) -> None:
        super().__init__(reads, writes)
        self.mask = mask
        self.plain = AutogradKernel(node, reads, writes)
        self.windows = lru_cache(maxsize=64)(partial(_torch_windows, layer))

    def forward(self, xs: Sequence[Tensor]) -> tuple[Sequence[Tensor], Any]:
        """Take the largest, and note where it was."""
        windows = self.windows(tuple(xs[0].shape))
        if windows is None:
            (y,), kept = self.plain.forward(xs)
            return [y], (y, None, kept)
        y, index = _max_pool(xs[0], *windows)
        return [y], (y, (xs[0], *windows), index)

    def backward(self, kept: Any, grads: Sequence[Tensor | None], into: Tensor | None) -> Sequence[Tensor | None]:
        """Put each gradient where its value came from."""
        y, windows, index = kept
        (grad,) = grads
        assert grad is not None
        if self.mask:
            grad = masked(grad, y)
        if windows is None:
            return self.plain.backward(index, [grad], None)
        return [_max_pool_backward(grad, *windows, index)]


class LRNKernel(Kernel):
    """LRN across channels."""

    owns_gradient = True

    def __init__(self, layer: LRN, reads: Sequence[Value], writes: Sequence[Value]) -> None:
        super().__init__(reads, writes)
        p = layer.param.lrn_param
        self.settings = (p.local_size, p.alpha / p.local_size, p.beta, p.k)

    def forward(self, xs: Sequence[Tensor]) -> tuple[Sequence[Tensor], Any]:
        """Divide."""
        y, kept = lrn_forward(xs[0], *self.settings)
        return [y], kept

    def backward(self, kept: Any, grads: Sequence[Tensor | None], into: Tensor | None) -> Sequence[Tensor | None]:
        """Apply the formula in `dreamopt.engine.layers.lrn`."""
        assert grads[0] is not None
        return [lrn_backward(kept, grads[0], *self.settings[:3])]


class ConcatKernel(Kernel):
    """Concat."""

    def __init__(self, axis: Callable[[tuple[int, ...]], int], reads: Sequence[Value], writes: Sequence[Value]) -> None:
        super().__init__(reads, writes)
        self.axis = axis

    def forward(self, xs: Sequence[Tensor]) -> tuple[Sequence[Tensor], Any]:
        """ConcatKernel."""
        axis = self.axis(tuple(xs[0].shape))
        return [torch.cat(list(xs), axis)], (axis, [x.shape[axis] for x in xs])

    def backward(self, kept: Any, grads: Sequence[Tensor | None], into: Tensor | None) -> Sequence[Tensor | None]:
        """Give each its part, as a view."""
        axis, sizes = kept
        assert grads[0] is not None
        return torch.split(grads[0], sizes, axis)
