"""A net that is a plain torch function: toy nets for checks in float64, and models that were never Caffe's."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from dreamopt.backends.base import LayerInfo, Shape, TotalOf, WeightGradients, WeightsReport
from dreamopt.engine.backward_rule import LINEAR, BackwardRule, LayerTraits
from dreamopt.engine.executor.rules import AutogradPass, Compute, compute_with_rule
from dreamopt.errors import UsageError

Layer = tuple[str, str, Callable[[Tensor], Tensor]]
"""Name, type (for messages), and what it computes from the layer before it."""

_ACTIVE_RANGES = {"ReLU": (0.0, math.inf), "ReLU6": (0.0, 6.0)}


class FunctionBackend:
    """A chain of torch functions, each a layer with a name.

    Parameters
    ----------
    layers : sequence of (name, type, function)
        Each function takes the value of the layer before it, (N, ...), the first one the input.
    input_shape : tuple of int
        One item's input, (C, H, W) or (K,).
    weights : iterable of Tensor, or mapping of str to sequence of Tensor
        What the functions compute with, for `weights_hash`; by layer, for `weight_gradients` too.
    dtype, device
        Of the input and all values.

    Examples
    --------
    >>> net = FunctionBackend([("double", "Power", lambda x: 2 * x), ("relu", "ReLU", torch.relu)], (1, 2, 3))
    >>> net.activations(torch.ones(1, 1, 2, 3), ["double"])["double"].sum().item()
    12.0
    """

    name = "function"
    net_name = ""
    weights_report = WeightsReport()
    random_layers: Sequence[str] = ()
    unused_layers: Sequence[str] = ()
    origin = f"torch {torch.__version__}"
    input_name = "data"
    changes: Sequence[str] = ()
    feed: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Shape,
        *,
        weights: Iterable[Tensor] | Mapping[str, Sequence[Tensor]] = (),
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> None:
        self._functions = {name: function for name, _, function in layers}
        first = next((name for name, kind, _ in layers if kind in LINEAR), None)
        self._traits = {name: LayerTraits(name, kind, _ACTIVE_RANGES.get(kind), kind in LINEAR, name == first) for name, kind, _ in layers}
        self.input_shape = input_shape
        self.dtype = dtype
        self.device = torch.device(device)
        self._by_layer = {name: list(own) for name, own in weights.items()} if isinstance(weights, Mapping) else {}
        self._weights = [weight for own in self._by_layer.values() for weight in own]
        if not isinstance(weights, Mapping):
            self._weights = list(weights)
        names = [self.input_name, *self._functions]
        shapes = self.shapes(list(self._functions), input_shape)
        self.layers = [LayerInfo(self.input_name, "Input", (), (self.input_name,), (input_shape,))] + [
            LayerInfo(name, kind, (before,), (name,), (shapes[name],)) for before, (name, kind, _) in zip(names, layers, strict=False)
        ]

    def activations(
        self,
        x: Tensor,
        layers: Sequence[str],
        *,
        between_layers: bool = False,
        rule: BackwardRule | None = None,
        acted: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the named values; stops at the last one asked for."""
        return self._run(self.input_name, x, layers, rule, acted)

    def activations_from(self, start: str, x: Tensor, layers: Sequence[str], *, rule: BackwardRule | None = None) -> dict[str, Tensor]:
        """Return the named values where the value ``start`` is ``x`` (N, ...)."""
        return self._run(start, x, layers, rule, None)

    def weight_gradients(self, x: Tensor, layers: Sequence[str], total: TotalOf) -> WeightGradients:
        """Return the gradient of a number that depends on the named values, for the weights given by layer.

        Raises
        ------
        UsageError
            Where none were.
        """
        if not self._by_layer:
            raise UsageError(
                "a net of torch functions does not know the weights that they compute with; give them by layer, as in"
                " FunctionBackend(..., weights={'fc': [w, b]})"
            )
        asked = [weight.requires_grad for weight in self._weights]
        try:
            for weight in self._weights:
                weight.requires_grad_()
            with torch.enable_grad():
                value = total(self.activations(x.detach(), layers))
            leaves = list(dict.fromkeys(self._weights))
            found = torch.autograd.grad(value, leaves, allow_unused=True) if value.requires_grad else [None] * len(leaves)
        finally:
            for weight, wanted in zip(self._weights, asked, strict=True):
                weight.requires_grad_(wanted)
        gradients = {leaf: torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found, strict=True)}
        return {name: [gradients[weight] for weight in own] for name, own in self._by_layer.items()}

    def _run(
        self, start: str, x: Tensor, layers: Sequence[str], rule: BackwardRule | None, acted: dict[str, Tensor] | None
    ) -> dict[str, Tensor]:
        left = set(layers)
        found = {start: x} if start in left else {}
        left.discard(start)
        names = [self.input_name, *self._functions]
        last = max((names.index(name) for name in left), default=0)
        topmost = next((name for name in reversed(names[1 : last + 1]) if self._traits[name].is_linear), None)
        for name in names[names.index(start) + 1 :]:
            function = self._functions[name]
            if not left:
                break
            traits = replace(self._traits[name], is_topmost=name == topmost)
            rule_at = None if rule is None else rule.rule_for(traits)
            if rule_at is not None:
                layer = AutogradPass(traits, _computing(function), (), x.shape[0], acted)
                (x,) = compute_with_rule(rule_at, layer, [x])
            else:
                x = function(x)
            if name in left:
                found[name] = x
                left.remove(name)
        return found

    def shapes(self, layers: Sequence[str], item: Shape) -> dict[str, Shape]:
        """Return the named values' shapes for one item of that shape."""
        with torch.no_grad():
            values = self.activations(torch.zeros(1, *item, dtype=self.dtype, device=self.device), layers)
        return {name: tuple(value.shape[1:]) for name, value in values.items()}

    def weights_hash(self) -> str:
        """Return the sha256 of the weights given."""
        digest = hashlib.sha256()
        for weight in self._weights:
            digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def close(self) -> None:
        """Do nothing: functions hold nothing."""


def _computing(function: Callable[[Tensor], Tensor]) -> Compute:
    return lambda bottoms, weights: [function(bottoms[0])]
