"""Neighbours: the units of the same layer whose weights point nearly the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.piece import Piece
from dreamopt.atlas.pieces._linear import linear_net, outcome_of
from dreamopt.atlas.pieces._numbers import short
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.task import Outcome, Task
from dreamopt.atlas.units import AtlasLayer
from dreamopt.circuits.neighbours import nearest_units
from dreamopt.network import Network

_COUNT = 10


class Neighbours(Piece):
    """The nearest units by the angle between weights."""

    name: ClassVar[str] = "neighbours"

    def settings(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> Mapping[str, Any]:
        """Return how many neighbours."""
        return {"count": _COUNT}

    def cost(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> float:
        """Return the estimated seconds of one unit."""
        return 0.005

    def memory(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> int:
        """Return the bytes of a task: the weights once more, and those of the layer twice."""
        largest = max((info.params for info in network.layers), default=0)
        return 2**29 + 4 * (sum(info.params for info in network.layers) + 2 * largest)

    def compute(self, task: Task, nets: NetFiles) -> Outcome:
        """Compare the units with all of their layer."""
        return outcome_of(task, lambda: _records(task, nets.network()))


def _records(task: Task, network: Network) -> dict[int, Mapping[str, Any] | str]:
    nearest = nearest_units(linear_net(network), task.layer, task.units, task.settings["count"])
    return {
        unit: {"nearest": [{"unit": one.unit, "cosine": short(one.cosine)} for one in nearest[unit]]}
        if nearest[unit]
        else "no unit of the layer has weights less than 90 degrees from its own"
        for unit in task.units
    }
