"""Logits: the classes that each unit speaks for most, and against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.piece import Piece
from dreamopt.atlas.pieces._linear import linear_net, outcome_of
from dreamopt.atlas.pieces._numbers import short
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.task import Outcome, Task, content_key
from dreamopt.atlas.units import AtlasLayer
from dreamopt.circuits.effects import ClassEffect, class_effects
from dreamopt.network import Network

_COUNT = 10


class Logits(Piece):
    """What each unit adds to the class scores before Softmax, by the weights alone."""

    name: ClassVar[str] = "logits"

    def settings(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> Mapping[str, Any]:
        """Return how many classes each way, and a hash of their labels."""
        return {"count": _COUNT, "labels": None if network.labels is None else content_key(labels=list(network.labels))}

    def cost(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> float:
        """Return the estimated seconds of one unit."""
        return 0.005

    def memory(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> int:
        """Return the bytes of a task: the weights once more, and some matrices."""
        return 2**29 + 4 * sum(info.params for info in network.layers)

    def compute(self, task: Task, nets: NetFiles) -> Outcome:
        """Rank the classes of the units."""
        return outcome_of(task, lambda: _records(task, nets.network()))


def _records(task: Task, network: Network) -> dict[int, Mapping[str, Any] | str]:
    effects, count = class_effects(linear_net(network), task.layer, task.units), task.settings["count"]
    found: dict[int, Mapping[str, Any] | str] = {}
    for unit in task.units:
        top = [_entry(one) for one in effects.top(unit, count) if one.effect > 0]
        bottom = [_entry(one) for one in effects.bottom(unit, count) if one.effect < 0]
        found[unit] = {"classes": effects.classes, "top": top, "bottom": bottom} if top or bottom else "it changes no class score"
    return found


def _entry(effect: ClassEffect) -> dict[str, Any]:
    return {"class": effect.number, "label": effect.label, "effect": short(effect.effect)}
