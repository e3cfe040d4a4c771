"""Lucid's redirected ReLU: a way on for a gradient of which a ReLU lets nothing through."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dreamopt.engine.node import Node

Gate = tuple[float, float]
"""The bounds of the values whose gradient a layer lets through: it is flat below the first and above the second."""


class Redirect:
    r"""The rule of redirected ReLUs for one backward pass, and a record of where it acted.

    Let g be the gradient, of what is **maximised**, at a ReLU's output y, and x its input. Where the ReLU lets through
    nothing at all of an item's g, the item's gradient at x becomes g, but for what would push x further into the flat part:

    .. math:: g_x = 0 \text{ where } x < 0 \text{ and } g < 0, \text{ else } g

    so that the item climbs out of it. ReLU6 and Clip stop pushes beyond their upper bound too. Items of which anything gets
    through keep their gradient to the last bit. Each layer is looked at by itself: in a net with branches, one branch may be
    redirected while another is not.

    Parameters
    ----------
    batch : int
        How many items there are: the first axis of the net's input.

    Attributes
    ----------
    acted : dict of str to Tensor
        (N,) bool by layer: for which items it let through what the layer stopped. Filled by the backward pass.

    References
    ----------
    .. [1] tensorflow/lucid, ``misc/redirected_relu_grad.py``.

    Examples
    --------
    >>> x = torch.tensor([[-1.0, -2.0, -3.0], [1.0, -2.0, -3.0]], requires_grad=True)
    >>> redirect = Redirect(2)
    >>> y = redirect.through("relu", (0.0, float("inf")), x, torch.relu)
    >>> (y * torch.tensor([5.0, -6.0, 7.0])).sum().backward()
    >>> x.grad.tolist()
    [[5.0, 0.0, 7.0], [5.0, 0.0, 0.0]]
    >>> redirect.acted["relu"].tolist()
    [True, False]
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.acted: dict[str, Tensor] = {}

    def compute(self, node: Node, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Run a layer of the engine's, with the rule where it has a `gate`."""
        gate = node.layer.gate
        if gate is None:
            return node.compute(bottoms, weights)
        return [self.through(node.layer.name, gate, bottoms[0], lambda x: node.compute([x], weights)[0])]

    def through(self, layer: str, gate: Gate, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``compute(x)``, whose way back follows the rule."""
        read = x.view_as(x)  # a gradient of its own, whoever else reads x
        y = compute(read)
        if y.requires_grad and read.requires_grad:
            above: list[Tensor] = []
            then = x.detach()
            y.register_hook(above.append)  # type: ignore[no-untyped-call]
            read.register_hook(lambda passed: self._rule(layer, gate, then, above.pop(), passed))  # type: ignore[no-untyped-call]
        return y

    def _rule(self, layer: str, gate: Gate, x: Tensor, grad: Tensor, passed: Tensor) -> Tensor:
        if x.dim() == 0 or x.numel() == 0 or x.shape[0] % self.batch:
            return passed  # its first axis has nothing to do with the items
        dead = ~self._any(passed)
        if dead.device.type == "cpu" and not bool(dead.any()):  # a GPU would have to be waited for
            self.note(layer, dead)
            return passed
        blocked = ((x < gate[0]) & (grad < 0)) | ((x > gate[1]) & (grad > 0))
        other = torch.where(blocked, 0, grad)
        acted = dead & self._any(other)
        self.note(layer, acted)
        rows = acted.repeat_interleave(x.shape[0] // self.batch)
        return torch.where(rows.reshape(-1, *[1] * (x.dim() - 1)), other, passed)

    def _any(self, values: Tensor) -> Tensor:
        # The largest size of each row: comparing and reshaping all values takes several times as long.
        sizes = values if values.dim() == 1 else torch.linalg.vector_norm(values, ord=math.inf, dim=tuple(range(1, values.dim())))
        return (sizes != 0).reshape(self.batch, -1).any(1)

    def note(self, layer: str, acted: Tensor) -> None:
        """Record for which items, (N,) bool, a layer was redirected."""
        self.acted[layer] = self.acted[layer] | acted if layer in self.acted else acted

    def any(self) -> Tensor | None:
        """Return for which items, (N,) bool, the rule acted at some layer; None where no layer was looked at."""
        return torch.stack(list(self.acted.values())).any(0) if self.acted else None
