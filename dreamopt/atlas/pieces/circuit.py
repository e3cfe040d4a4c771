"""Circuits: the strongest weights into each unit and out of it, with their kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.piece import Piece
from dreamopt.atlas.pieces._linear import linear_net, outcome_of
from dreamopt.atlas.pieces._numbers import kernel_rows, short
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.slug import slug
from dreamopt.atlas.task import Outcome, Task
from dreamopt.atlas.units import AtlasLayer
from dreamopt.circuits.connections import Connection, Connections
from dreamopt.errors import DreamoptError
from dreamopt.network import Network

_COUNT = 10


class Circuit(Piece):
    """Which units feed each unit most, and which it feeds, among the atlas's layers where these are near."""

    name: ClassVar[str] = "circuit"

    def settings(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> Mapping[str, Any]:
        """Return how many weights each way, and the layers that units are looked for in."""
        return {"count": _COUNT, "among": [one.name for one in request.layers]}

    def decisive(self, network: Network, layer: AtlasLayer, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return instead of all of the atlas's layers those that the ways from and to this one end at: others change nothing here."""
        try:
            return {"count": settings["count"], "ways": _connections(network, tuple(settings["among"])).ways(layer.name)}
        except DreamoptError:  # its reason is what the tasks find
            return settings

    def cost(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> float:
        """Return the estimated seconds of one unit."""
        return 0.01

    def memory(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> int:
        """Return the bytes of a task: the weights once more, and some kernels."""
        return 2**29 + 4 * sum(info.params for info in network.layers)

    def compute(self, task: Task, nets: NetFiles) -> Outcome:
        """Rank the expanded weights of the units."""
        return outcome_of(task, lambda: _records(task, nets.network()))


@lru_cache(maxsize=1)
def _connections(network: Network, among: tuple[str, ...]) -> Connections:
    """Return the connections of a network among layers, the last ones remembered."""
    return Connections(linear_net(network), among)


def _records(task: Task, network: Network) -> dict[int, Mapping[str, Any] | str]:
    connections, count = _connections(network, tuple(task.settings["among"])), task.settings["count"]
    incoming = connections.incoming(task.layer, task.units, count)
    outgoing = connections.outgoing(task.layer, task.units, count)
    found: dict[int, Mapping[str, Any] | str] = {}
    for unit in task.units:
        if incoming[unit] or outgoing[unit]:
            found[unit] = {"incoming": _entries(incoming[unit]), "outgoing": _entries(outgoing[unit])}
        else:
            found[unit] = "no weights other than 0 lead to it or from it"
    return found


def _entries(connections: Sequence[Connection]) -> list[dict[str, Any]]:
    return [
        {
            "layer": one.layer,
            "slug": slug(one.layer),
            "unit": one.unit,
            "strength": short(one.strength),
            "kernel": kernel_rows(one.kernel),
            "extent": list(one.kernel.shape),
        }
        for one in connections
    ]
