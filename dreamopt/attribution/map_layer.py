"""The layer whose map a class activation map is drawn from, from the net's structure alone."""

from __future__ import annotations

from math import log, prod

from dreamopt.backends.base import NetGraph
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.network.maps import BEHIND, NONLINEAR, Value, above_image, of_one_depth
from dreamopt.objective import Objective

_POINTWISE = frozenset({"BatchNorm", "BN", "Scale", "Bias", "Power", "Exp", "Log", "AbsVal"})
_REARRANGES = frozenset({"Flatten", "Reshape", "Crop", "Interp", "Upsample", "Deconvolution", "Pooling3D"})
_KEEPS_CHANNELS = NONLINEAR | BEHIND | _POINTWISE | _REARRANGES
"""Types of layers whose channel k, of as many as they read, is their input's channel k."""
_MOVES = ("Convolution", "Pooling", "Pooling3D", "Deconvolution")
"""Types whose places move with the image also where they have more than two axes, of which `LayerInfo.reach` does not speak."""


def map_layer(network: Network, objective: Objective, size: tuple[int, ...] | None) -> str:
    """Return the highest layer with a map that all of what an objective reads depends on: above it is only the classifier.

    Where the objective's layer is itself the pooled or normalized map of a convolution, as the class maps of SqueezeNet are, that map
    has one channel for each unit; then the layer lies below that convolution. Of a convolution's value, its normalization, its
    nonlinearity and its pooling, it is the nonlinearity's value, also where that works in place. An objective of the lowest map has that
    map itself.

    Parameters
    ----------
    network : Network
        The net.
    objective : Objective
        Bound to it.
    size : tuple of int or None
        The input's size.

    Raises
    ------
    UsageError
        Where there is none.
    """
    if len(network.input_shape) < 2:
        raise UsageError(f"the net's input '{network.input_name}' is a vector of {network.input_shape}: no layer has a map of its places")
    graph, above = network.graph, above_image(network)
    ends = [graph.value(layer) for layer in objective.layers]
    end = _common(above, ends)
    chain = _maps(network, above, end, size)
    source = _source(network, above, end) if end in ends and end in above else None
    if source is not None:
        chain = _maps(network, above, above[source], size) or chain
    if not chain:
        raise UsageError(f"objective {objective} has no layer with a map below it that all of it depends on; name one with layer=")
    group = [chain[0]]
    while _keeps(network, above, group[-1]) and above[group[-1]] in chain:
        group.append(_below(above, group[-1]))
    return graph.name(*of_one_depth(network, group[::-1]))


def middle_layer(network: Network, objective: Objective, size: tuple[int, ...] | None, side: float = 1 / 8) -> str | None:
    """Return the lowest of the layers below an objective whose map's sides come nearest to a part of the image's; None if there is none.

    With an eighth, pool3 of VGG16, pool1 of CaffeNet, pool2 of GoogLeNet. All that the objective reads depends on that layer.

    Parameters
    ----------
    network, objective, size
        As in `map_layer`.
    side : float
        The part.
    """
    if len(network.input_shape) < 2:
        return None
    graph, above = network.graph, above_image(network)
    ends = [graph.value(layer) for layer in objective.layers]
    chain = [value for value in _maps(network, above, _common(above, ends), size) if value not in ends]
    if not chain:
        return None
    names = [graph.name(*value) for value in chain]
    shapes = network.backend.shapes(names, network.item_shape(size))
    image = prod(network.item_shape(size)[1:])
    axes = len(network.input_shape) - 1
    distances = [abs(log((prod(shapes[name][1:]) / image) ** (1 / axes) / side)) for name in names]
    nearest = min(distances)
    return [name for name, distance in zip(names, distances, strict=True) if distance <= nearest + 1e-9][-1]


def check_map_layer(network: Network, layer: str, objective: Objective, size: tuple[int, ...] | None) -> str:
    """Return the name of a layer that a user named, known to have a map and to lie between the image and the objective.

    Raises
    ------
    TargetError
        For an unknown layer.
    UsageError
        For one without a map, or one that the objective does not depend on, or that does not depend on the image.
    """
    name, graph = network.resolve(layer), network.graph
    value, shape = graph.value(name), network.shape_of(name, size)
    if not _is_map(shape, len(network.input_shape)):
        raise UsageError(f"layer '{name}' writes {shape}, which is no map with a value for each of several places")
    if value not in _read_by(graph, objective):
        raise UsageError(f"layer '{name}' does not lie below objective {objective}, which does not depend on it")
    if value not in above_image(network):
        raise UsageError(f"layer '{name}' does not depend on the input '{network.input_name}', of which it would be a map")
    return name


def _maps(network: Network, above: dict[Value, Value | None], end: Value | None, size: tuple[int, ...] | None) -> list[Value]:
    """Return the values from ``end`` down that have a map and that every path to it goes through, but for the image."""
    chain, moving = _chain(above, end)[:-1], _moving(network, above)
    names = [network.graph.name(*value) for value in chain]
    shapes = network.backend.shapes(names, network.item_shape(size)) if names else {}
    axes = len(network.input_shape)
    return [value for value, name in zip(chain, names, strict=True) if value in moving and _is_map(shapes[name], axes)]


def _is_map(shape: tuple[int, ...], axes: int) -> bool:
    return len(shape) == axes and prod(shape[1:]) > 1


def _read_by(graph: NetGraph, objective: Objective) -> set[Value]:
    """Return the values that an objective depends on, its own layers' among them."""
    return {graph.value(layer) for layer in objective.layers} | {value for i in graph.below(objective.layers) for value in graph.reads[i]}


def _chain(above: dict[Value, Value | None], value: Value | None) -> list[Value]:
    """Return the values, from this one down to the image, that every path between goes through."""
    chain = []
    while value is not None and value in above:
        chain.append(value)
        value = above[value]
    return chain


def _common(above: dict[Value, Value | None], values: list[Value]) -> Value | None:
    """Return the highest value that every path from the image to any of these goes through."""
    chains = [_chain(above, value) for value in values]
    return next((value for value in chains[0] if all(value in chain for chain in chains)), None)


def _below(above: dict[Value, Value | None], value: Value) -> Value:
    below = above[value]
    assert below is not None
    return below


def _keeps(network: Network, above: dict[Value, Value | None], value: Value) -> bool:
    """Return whether a value's channels are those of the one value that its layer reads."""
    i, j = value
    info, reads, below = network.layers[i], network.graph.reads[i], above[value]
    if info.type not in _KEEPS_CHANNELS or below is None or (len(reads) > 1 and info.type != "Crop") or reads[0] != below:
        return False
    return info.shapes[j][:1] == network.layers[below[0]].shapes[below[1]][:1]


def _source(network: Network, above: dict[Value, Value | None], value: Value) -> Value:
    """Return the value, at or below this one, whose layer made its channels."""
    while _keeps(network, above, value):
        value = _below(above, value)
    return value


def _moving(network: Network, above: dict[Value, Value | None]) -> set[Value]:
    """Return the values whose places move with the image's: nothing between them and the image mixes all places."""
    graph, moving = network.graph, set[Value]()
    for value, below in above.items():
        i, j = value
        info = network.layers[i]
        if below is None:
            moving.add(value)
            continue
        read = next(one for one in graph.reads[i] if one in above)
        shape, shape_below = info.shapes[j], network.layers[read[0]].shapes[read[1]]
        same_places = len(shape) == len(shape_below) and shape[1:] == shape_below[1:]
        if read in moving and (info.reach is not None or same_places or info.type in _MOVES):
            moving.add(value)
    return moving
