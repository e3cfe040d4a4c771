"""Rules for some layers and rules for others: an ordered list by layer name and type, read from a string."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor

from dreamopt.engine.backward_rule import BackwardRule, Box, LayerPass, LayerTraits, backward_rules
from dreamopt.errors import UsageError, suggest
from dreamopt.parts.arguments import check_several, check_text
from dreamopt.parts.calls import parse_part

FIRST = "first"
ALL = "*"


@dataclass(frozen=True)
class RuleList(BackwardRule):
    """For each layer the rule of the entry that names it most closely.

    Parameters
    ----------
    entries : tuple of (str, BackwardRule)
        A pattern and its rule. ``first`` means the linear layers with weights that are nearest to the inputs, and counts before all
        other patterns; then come patterns of layer names (``conv1``, ``conv*``), then those of layer types (``InnerProduct``), then
        ``*``, which means every layer. Among equals the earlier entry counts. A rule acts only at layers that it applies to. Where a rule
        shares out relevance, so does every layer that no entry names: by the epsilon rule, with excitation among the entries by that.

    Examples
    --------
    >>> rules = parse_rules("InnerProduct: epsilon, conv*: epsilon(0.25), *: guided")
    >>> str(rules)
    'InnerProduct: Epsilon(), conv*: Epsilon(epsilon=0.25), *: Guided()'
    >>> str(rules.rule_for(LayerTraits("conv4", "Convolution")))
    'Epsilon(epsilon=0.25)'
    """

    entries: tuple[tuple[str, BackwardRule], ...]

    @property
    def additive(self) -> bool:
        """Whether all of its rules are."""
        return all(rule.additive for _, rule in self.entries)

    @property
    def is_local(self) -> bool:
        """Whether all of its rules are."""
        return all(rule.is_local for _, rule in self.entries)

    def rule_for(self, layer: LayerTraits) -> BackwardRule | None:
        """Return the rule that stands in for a layer's backward pass; None where it keeps its own."""
        found = [
            (rank, i, rule)
            for i, (pattern, entry) in enumerate(self.entries)
            if (rank := _rank(pattern, layer)) is not None and (rule := entry.rule_for(layer)) is not None
        ]
        if found:
            return min(found, key=lambda entry: entry[:2])[2]
        others = self.others
        return None if others is None else others.rule_for(layer)

    @property
    def others(self) -> BackwardRule | None:
        """What the first of its rules says that says anything."""
        return next((others for _, rule in self.entries if (others := rule.others) is not None), None)

    @property
    def asks_for_box(self) -> bool:
        """Whether any of its rules does."""
        return any(rule.asks_for_box for _, rule in self.entries)

    def bound(self, box: Box) -> RuleList:
        """Return the list with each of its rules bound."""
        return RuleList(tuple((pattern, rule.bound(box)) for pattern, rule in self.entries))

    def applies_to(self, layer: LayerTraits) -> bool:
        """Return whether any entry names it."""
        return self.rule_for(layer) is not None

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return what the layer's rule returns."""
        rule = self.rule_for(layer.traits)
        assert rule is not None
        return rule.apply(layer, x, y, grad)

    def require_matches(self, layers: Iterable[tuple[str, str]]) -> None:
        """Raise a UsageError for a pattern that names none of the layers, given as (name, type)."""
        known = [LayerTraits(name, type_, is_first=True) for name, type_ in layers]
        names = [FIRST, *dict.fromkeys(layer.type for layer in known), *(layer.name for layer in known)]
        for pattern, rule in self.entries:
            if all(_rank(pattern, layer) is None for layer in known):
                hint = suggest(pattern, names) or "dreamopt inspect lists them"
                raise UsageError(f"'{pattern}: {rule}' names no layer: the net has none of this name or type ({hint})")

    def __str__(self) -> str:
        return ", ".join(f"{pattern}: {rule}" for pattern, rule in self.entries)


def _rank(pattern: str, layer: LayerTraits) -> int | None:
    if pattern == FIRST and layer.is_first:
        return 0
    if pattern == layer.name or (pattern != ALL and fnmatchcase(layer.name, pattern)):
        return 1
    if pattern != ALL and fnmatchcase(layer.type, pattern):
        return 2
    return 3 if pattern == ALL else None


def parse_rules(rules: str | BackwardRule | Sequence[str | BackwardRule]) -> BackwardRule:
    """Return the rule that strings describe.

    Parameters
    ----------
    rules : str, BackwardRule, or a sequence of them
        ``RULE`` for all layers that it applies to, or ``PATTERN: RULE``, several with commas between them, as in
        ``"conv*: epsilon(0.25), InnerProduct: epsilon"``; see `RuleList` for the patterns. For a comma or a bracket in a layer's name write
        ``?``, which stands for any character.

    Raises
    ------
    UsageError
        For an empty list, an unknown rule, or parameters that do not fit.

    Examples
    --------
    >>> str(parse_rules("guided"))
    'Guided()'
    """
    if isinstance(rules, BackwardRule):
        return rules
    entries: list[tuple[str, BackwardRule]] = []
    for text in [rules] if isinstance(rules, str) else check_several("rule", rules, "rules or their strings"):
        if isinstance(text, BackwardRule):
            entries += text.entries if isinstance(text, RuleList) else [(ALL, text)]
            continue
        for entry in _split(check_text("a rule", text), ","):
            *patterns, rule = _split(entry, ":")
            pattern = ":".join(patterns).strip() if patterns else ALL
            if not pattern or not rule.strip():
                raise UsageError(f"rule '{entry.strip()}' must be RULE or PATTERN: RULE, as 'guided' or 'conv*: epsilon(0.25)'")
            entries.append((pattern, parse_part(rule, backward_rules)))
    if not entries:
        raise UsageError(f"there is no rule in {rules!r}; name one of {', '.join(backward_rules.names())}")
    return entries[0][1] if len(entries) == 1 and entries[0][0] == ALL else RuleList(tuple(entries))


def followed_by(rule: BackwardRule, other: BackwardRule) -> RuleList:
    """Return a rule, and another one at the layers that it does not apply to.

    >>> print(followed_by(parse_rules("conv*: epsilon, ReLU: guided"), parse_rules("redirected")))
    conv*: Epsilon(), ReLU: Guided(), *: Redirected()
    """
    entries = rule.entries if isinstance(rule, RuleList) else ((ALL, rule),)
    return RuleList((*entries, (ALL, other)))


def _split(text: str, sign: str) -> list[str]:
    """Split at a sign that stands in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == sign and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts
