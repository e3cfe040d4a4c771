"""Which layers are in a net: Caffe's NetStateRule, by phase, level and stage.

References: Caffe's ``src/caffe/net.cpp``, ``Net::FilterNet`` and ``Net::StateMeetsRule``.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from dreamopt.errors import NetError
from dreamopt.schema.caffe_pb2 import NetParameter, NetState, NetStateRule
from dreamopt.schema.location import SourceLocation


def meets(state: NetState, rule: NetStateRule, stages: Set[str] | None = None) -> bool:
    """Return whether a state fulfils every part of a rule; ``stages`` are the state's, where somebody has them as a set.

    Examples
    --------
    >>> from dreamopt.schema.caffe_pb2 import TEST
    >>> meets(NetState(phase=TEST, stage=["deploy"]), NetStateRule(phase=TEST, not_stage=["deploy"]))
    False
    """
    stages = frozenset(state.stage) if stages is None else stages
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and set(rule.stage) <= stages
        and not set(rule.not_stage) & stages
    )


def filter_layers(param: NetParameter, locations: Sequence[SourceLocation]) -> list[SourceLocation]:
    """Drop the layers that ``param.state`` leaves out, in place; return the places of the others.

    Raises
    ------
    NetError
        For a layer with both include and exclude rules.
    """
    kept_locations: list[SourceLocation] = []
    layers, stages = list(param.layer), frozenset(param.state.stage)
    del param.layer[:]
    for layer, location in zip(layers, locations, strict=True):
        if layer.include and layer.exclude:
            raise NetError(f"{location.of('exclude')}: layer '{layer.name}' has both include and exclude rules: give one kind only")
        rules, listed = (layer.include, True) if layer.include else (layer.exclude, False)
        if any(meets(param.state, rule, stages) for rule in rules) == listed:
            param.layer.append(layer)
            kept_locations.append(location)
    return kept_locations
