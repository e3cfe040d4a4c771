"""A linear layer as backward rules see it: its kernels and bias, with the factors and shifts behind it folded in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dreamopt.engine.backward_rule import LayerPass, LayerTraits
from dreamopt.errors import UsageError

Back = Callable[[Tensor], Tensor]
"""From a gradient at a top to the one at the bottom."""


class LinearMap:
    """One bottom and one top of a layer with weights, and what is folded into it.

    Parameters
    ----------
    layer : LayerPass
        Of one of the types `dreamopt.engine.backward_rule.LINEAR`.
    tops : sequence of Tensor
        What the layer itself wrote, fetched when it is asked for.
    place : int
        Which of its bottoms and tops.
    folds : bool
        Whether what is folded into the layer counts.
    """

    def __init__(self, layer: LayerPass, tops: Sequence[Tensor], place: int = 0, folds: bool = True) -> None:
        self._layer, self._tops, self._place = layer, tops, place
        self._factor: Tensor | None = None
        self._shift: Tensor | None = None
        for affine in layer.behind if folds else ():
            factor, shift = affine(self._value)
            self._factor = factor if self._factor is None else self._factor * factor
            self._shift = shift if self._shift is None else self._shift * factor + shift
        self._weights: list[Tensor] | None = None

    @property
    def traits(self) -> LayerTraits:
        """The layer's traits."""
        return self._layer.traits

    def _value(self) -> Tensor:
        if self._factor is None or self._shift is None:
            return self._tops[self._place]
        return self._tops[self._place] * self._spread(self._factor) + self._spread(self._shift)

    def _spread(self, numbers: Tensor) -> Tensor:
        return numbers.reshape(-1, *[1] * (self._tops[self._place].dim() - 2)) if numbers.dim() else numbers

    @property
    def top(self) -> Tensor:
        """What the layer, with what is folded into it, wrote."""
        return self._value()

    def _read(self) -> list[Tensor]:
        if self._weights is None:
            layer = self._layer
            self._weights = list(layer.weights)
            if not self._weights:
                raise UsageError(f"layer '{layer.name}' ({layer.type}) shows no weights, which the rule has to know")
            if self._factor is not None and self._shift is not None:
                assert layer.kind is not None
                self._weights = layer.kind.scaled(self._weights, self._factor, self._shift)
        return self._weights

    @property
    def kernel(self) -> Tensor:
        """The kernels, or the matrix, as Caffe stores them."""
        return self._read()[0]

    @property
    def bias(self) -> Tensor | None:
        """The bias, (outputs,); None where there is none."""
        weights = self._read()
        return weights[1] if len(weights) > 1 else None

    def part(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Return what a rule makes of kernel or bias, by a name that says all about it; it may be kept from pass to pass."""
        return make() if self._factor is not None else self._layer.part(name, make)

    def back(self, gradient: Tensor) -> Tensor:
        """Return the gradient at the bottom from that at the top: the layer's own backward pass."""
        if self._factor is not None:
            gradient = gradient * self._spread(self._factor)
        found = self._layer.gradient([gradient if i == self._place else torch.zeros_like(gradient) for i in range(len(self._tops))])
        own = found[self._place]
        assert own is not None
        return own

    def run(self, x: Tensor, kernel: Tensor, bias: Tensor | None) -> tuple[Tensor, Back]:
        """Return the top for another bottom, other kernels and another bias or none, and that map's way from gradient to gradient."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (top,) = self._layer.compute([leaf], [kernel] if bias is None else [kernel, bias])

        def back(gradient: Tensor) -> Tensor:
            return torch.autograd.grad(top, leaf, gradient, retain_graph=True)[0]

        return top.detach(), back
