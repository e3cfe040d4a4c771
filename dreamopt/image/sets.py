"""The standard sets of transforms of other frameworks, by name."""

from collections.abc import Mapping
from types import MappingProxyType

SETS: Mapping[str, tuple[str, ...]] = MappingProxyType({})
"""For each name its transforms in their order, as `dreamopt.grammar.parse_transforms` reads them."""
