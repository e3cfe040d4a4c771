"""Composites: rules for each kind of layer, under one name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.backward_rule import LINEAR, BackwardRule, Box, LayerPass, LayerTraits
from dreamopt.engine.relevance import EPSILON
from dreamopt.engine.rule_list import ALL, FIRST, RuleList
from dreamopt.engine.rules.epsilon import Epsilon
from dreamopt.parts.checks import POSITIVE, Fields

FULLY_CONNECTED = "InnerProduct"
"""The type that counts as fully connected, as ``torch.nn.Linear`` in zennit; a Convolution over the whole map counts as a convolution."""
CONVOLUTIONS = tuple(type_ for type_ in LINEAR if type_ != FULLY_CONNECTED)


@dataclass(frozen=True)
class Composite(BackwardRule):
    """A list of rules under a name; a subclass gives it, in `entries`."""

    def entries(self) -> RuleList:
        """Return the list."""
        raise AssertionError(f"{type(self).__name__} does not say which rules it is made of")

    @cached_property
    def rules(self) -> RuleList:
        """The list."""
        return self.entries()

    @property
    def additive(self) -> bool:
        """Whether all of its rules are."""
        return self.rules.additive

    @property
    def is_local(self) -> bool:
        """Whether all of its rules are."""
        return self.rules.is_local

    @property
    def others(self) -> BackwardRule | None:
        """The composite itself, which knows every layer."""
        return self

    @property
    def asks_for_box(self) -> bool:
        """Whether any of its rules does."""
        return self.rules.asks_for_box

    def bound(self, box: Box) -> BackwardRule:
        """Return its rules, bound."""
        return self.rules.bound(box)

    def rule_for(self, layer: LayerTraits) -> BackwardRule | None:
        """Return the one of its rules that the layer follows."""
        return self.rules.rule_for(layer)

    def applies_to(self, layer: LayerTraits) -> bool:
        """Return whether any of its rules does."""
        return self.rules.applies_to(layer)

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return what the layer's rule returns."""
        return self.rules.apply(layer, x, y, grad)


@dataclass(frozen=True)
class EpsilonComposite(Composite):
    """Epsilon at fully connected layers; a subclass gives the rules for convolutions and for the first layer."""

    convolution: ClassVar[BackwardRule]
    first: ClassVar[BackwardRule | None] = None

    epsilon: float = EPSILON

    def __post_init__(self) -> None:
        Fields(self).number("epsilon", POSITIVE)

    def entries(self) -> RuleList:
        """Return the list."""
        return composite(self.convolution, Epsilon(self.epsilon), self.first)


def composite(convolution: BackwardRule, fully_connected: BackwardRule, first: BackwardRule | None = None) -> RuleList:
    """Return rules for convolutions of all types, for InnerProduct, and for the first layer of any type; others do as under `Epsilon`."""
    begin = () if first is None else ((FIRST, first),)
    return RuleList((*begin, *((type_, convolution) for type_ in CONVOLUTIONS), (FULLY_CONNECTED, fully_connected), (ALL, Epsilon())))
