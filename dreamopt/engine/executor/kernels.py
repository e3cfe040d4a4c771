"""The kernels that executors are made of, other than convolutions and pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dreamopt.engine.executor.executor import Kernel
from dreamopt.engine.executor.keeper import Keeper
from dreamopt.engine.executor.masks import masked, passed
from dreamopt.engine.graph import Value
from dreamopt.engine.layers.lrn import lrn_backward, lrn_forward

if TYPE_CHECKING:
    from dreamopt.engine.layers.lrn import LRN
    from dreamopt.engine.node import Node


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

    def forward(self, xs: Sequence[Tensor], keeper: Keeper | None) -> tuple[Sequence[Tensor], Any]:
        """Run the layer, recording."""
        device = xs[0].device if xs else torch.device("cpu")
        weights = [blob._data.read(blob.shape, device) for blob in self.node.weights]
        if keeper is None:
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
    """ReLU on its own."""

    owns_gradient = True

    def forward(self, xs: Sequence[Tensor], keeper: Keeper | None) -> tuple[Sequence[Tensor], Any]:
        """Cut off what is below 0."""
        y = torch.relu(xs[0])
        return [y], None if keeper is None else passed(y, keeper)

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Cut off the gradient there."""
        assert grads[0] is not None
        return [masked(grads[0], kept, grads[0] if mine[0] else None)]


class Sum(Kernel):
    """``y = x1 + x2``, with ``relu`` cut off below 0."""

    def __init__(self, reads: Sequence[Value], writes: Sequence[Value], relu: bool) -> None:
        super().__init__(reads, writes)
        self.relu = self.owns_gradient = relu

    def forward(self, xs: Sequence[Tensor], keeper: Keeper | None) -> tuple[Sequence[Tensor], Any]:
        """Add."""
        y = torch.add(xs[0], xs[1])
        if not self.relu:
            return [y], None
        y.relu_()
        return [y], None if keeper is None else passed(y, keeper)

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Give both the same gradient."""
        assert grads[0] is not None
        g = masked(grads[0], kept, grads[0] if mine[0] else None) if self.relu else grads[0]
        return [g, g]


class LRNKernel(Kernel):
    """LRN across channels."""

    owns_gradient = True

    def __init__(self, layer: LRN, reads: Sequence[Value], writes: Sequence[Value]) -> None:
        super().__init__(reads, writes)
        p = layer.param.lrn_param
        self.settings = (p.local_size, p.alpha / p.local_size, p.beta, p.k)

    def forward(self, xs: Sequence[Tensor], keeper: Keeper | None) -> tuple[Sequence[Tensor], Any]:
        """Divide."""
        y, kept = lrn_forward(xs[0], *self.settings, keep=keeper is not None)
        return [y], kept

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Apply the formula in `dreamopt.engine.layers.lrn`."""
        assert grads[0] is not None
        return [lrn_backward(kept, grads[0], *self.settings, mine=mine[0])]


class ConcatKernel(Kernel):
    """Concat."""

    splits = True

    def __init__(self, axis: Callable[[tuple[int, ...]], int], reads: Sequence[Value], writes: Sequence[Value]) -> None:
        super().__init__(reads, writes)
        self.axis = axis

    def forward(self, xs: Sequence[Tensor], keeper: Keeper | None) -> tuple[Sequence[Tensor], Any]:
        """Join them."""
        axis = self.axis(tuple(xs[0].shape))
        return [torch.cat(list(xs), axis)], (axis, [x.shape[axis] for x in xs])

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Give each its part, as a view."""
        axis, sizes = kept
        assert grads[0] is not None
        return torch.split(grads[0], sizes, axis)
