"""Backward rules by autograd: a layer computed as it is, whose gradient is what a rule makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dreamopt.engine.backward_rule import Affine, BackwardRule, LayerPass, LayerTraits, RuledPass, apply_rule, check_gradients
from dreamopt.engine.node import gradients

if TYPE_CHECKING:
    from dreamopt.engine.layer import Layer

Compute = Callable[[Sequence[Tensor], Sequence[Tensor]], Sequence[Tensor]]


class AutogradPass(LayerPass):
    """A layer whose own backward pass is autograd's; its weights need no gradient, and what is kept of them goes by these very tensors."""

    def __init__(
        self,
        traits: LayerTraits,
        compute: Compute,
        weights: Sequence[Tensor],
        samples: int,
        acted: dict[str, Tensor] | None,
        kind: Layer | None = None,
        behind: Sequence[Affine] = (),
        part: Callable[[str, Callable[[], Tensor]], Tensor] | None = None,
    ) -> None:
        super().__init__(traits, samples, acted, kind, behind)
        self._part = part
        self._compute, self._weights = compute, weights
        self._bottoms: list[Tensor] = []
        self._tops: list[Tensor] = []
        self._ruled: RuledPass | None = None

    @property
    def weights(self) -> Sequence[Tensor]:
        """The layer's weights."""
        return self._weights

    def part(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Return what a rule makes of the weights, kept between passes where that is wanted."""
        return make() if self._part is None else self._part(name, make)

    def run(self, bottoms: Sequence[Tensor], needed: Sequence[bool], rule: BackwardRule | None = None) -> list[Tensor]:
        """Compute the tops, and keep what the rule needs for the backward pass."""
        self._ruled = None if rule is None else rule.run(self, [x.detach() for x in bottoms])
        if self._ruled is not None:
            self._bottoms, self._tops = list(bottoms), self._ruled.tops
            return self._tops
        with torch.enable_grad():
            self._bottoms = [x.detach().requires_grad_(need) for x, need in zip(bottoms, needed, strict=True)]
            self._tops = list(self._compute(self._bottoms, self._weights))
        return [y.detach() for y in self._tops]

    def run_back(self, rule: BackwardRule, grad: Sequence[Tensor]) -> list[Tensor | None]:
        """Return the gradients that the rule makes."""
        bottoms = [x.detach() for x in self._bottoms]
        if self._ruled is not None:
            return check_gradients(rule, self, self._ruled.backward(grad), len(bottoms), [x.shape for x in bottoms])
        return apply_rule(rule, self, bottoms, [y.detach() for y in self._tops], grad, [x.shape for x in bottoms])

    def filled(self, grad: Sequence[Tensor | None]) -> list[Tensor]:
        """Return gradients at the tops with zeros where there are none."""
        return [torch.zeros_like(y) if g is None else g for y, g in zip(self._tops, grad, strict=True)]

    @property
    def differentiable(self) -> list[bool]:
        """Which tops depend on the bottoms."""
        return [self._ruled is not None or y.requires_grad for y in self._tops]

    def gradient(self, grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return autograd's gradients."""
        needed = [x for x in self._bottoms if x.requires_grad]
        found = iter(gradients(self._tops, needed, grad))
        return [next(found) if x.requires_grad else None for x in self._bottoms]

    def compute(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the tops for any bottoms and weights."""
        return self._compute(bottoms, weights)


def compute_with_rule(rule: BackwardRule, layer: AutogradPass, bottoms: Sequence[Tensor]) -> list[Tensor]:
    """Return a layer's tops; where a gradient is wanted, it follows the rule, and cannot be differentiated again."""
    if not torch.is_grad_enabled() or not any(x.requires_grad for x in bottoms):
        return list(layer.forward(bottoms))
    return list(_Ruled.apply(rule, layer, *bottoms))  # type: ignore[no-untyped-call]


class _Ruled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rule: BackwardRule, layer: AutogradPass, *bottoms: Tensor) -> tuple[Tensor, ...]:
        ctx.rule, ctx.layer = rule, layer
        tops = layer.run(bottoms, ctx.needs_input_grad[2:], rule)
        ctx.mark_non_differentiable(*(y for y, differentiable in zip(tops, layer.differentiable, strict=True) if not differentiable))
        return tuple(tops)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Any, ...]:
        return (None, None, *ctx.layer.run_back(ctx.rule, grad))
