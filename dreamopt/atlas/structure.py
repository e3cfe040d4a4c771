"""The graph of a net, as an atlas's overview draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dreamopt.atlas.units import AtlasLayer
from dreamopt.network import Network


def structure(network: Network, layers: Sequence[AtlasLayer]) -> dict[str, Any]:
    """Return the layers of a net and who reads whom, fit for JSON; Split layers, which only copy, are left out.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    layers : sequence of AtlasLayer
        Those that the atlas is of.

    Returns
    -------
    dict
        ``nodes``, each a name, a type and the address of its page (None without one), in the order in which they run; ``edges``, pairs
        of places among them, each once.

    Examples
    --------
    >>> import dreamopt
    >>> found = structure(dreamopt.load_net(), ())
    >>> found["nodes"][1], found["edges"][:2]
    ({'name': 'conv1', 'type': 'Convolution', 'slug': None}, [[0, 1], [1, 2]])
    """
    graph, addresses = network.graph, {network.graph.value(layer.name)[0]: layer.slug for layer in layers}
    shown = [i for i, info in enumerate(network.layers) if info.type != "Split"]
    place = {i: number for number, i in enumerate(shown)}
    nodes = [{"name": network.layers[i].name, "type": network.layers[i].type, "slug": addresses.get(i)} for i in shown]
    edges = dict.fromkeys((place[value[0]], place[i]) for i in shown for value in graph.reads[i])
    return {"nodes": nodes, "edges": [list(edge) for edge in edges]}
