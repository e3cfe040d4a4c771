"""The values of a net whose places move with the image, and the trunk that every path of a net goes through: from its structure alone.

Names mean nothing here; what counts is who reads whom, how windows move, and shapes at the file's size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING

from dreamopt.backends.base import LayerInfo, Shape
from dreamopt.errors import ShapeError, UsageError
from dreamopt.network.tiling.geometry import Geometry

if TYPE_CHECKING:
    from dreamopt.network.network import Network

COARSEST = 32
"""Pixels from place to place. Coarser maps, such as the last ones of detectors, have too few places."""
NONLINEAR = frozenset({"ReLU", "ReLU6", "PReLU", "ELU", "Sigmoid", "TanH", "Swish", "HSwish", "Mish", "BNLL", "Clip"})
BEHIND = frozenset({"Pooling", "LRN", "MVN", "Normalize", "Dropout", "SpatialDropout", "Softmax", "Threshold"})

Value = tuple[int, int]
"""(place of the layer in the net, place of its top)."""


@dataclass(frozen=True)
class Map:
    """A value whose places move with the image.

    Parameters
    ----------
    depth : int
        The most convolutions on a path from the image to it.
    stride : (Fraction, Fraction)
        Pixels from one place to the next, down and across.
    """

    depth: int = 0
    stride: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1))


def maps_of(network: Network) -> dict[Value, Map]:
    """Return the values of a net that have a map, with its depth and strides; see the module's rule."""
    graph, maps = network.graph, dict[Value, Map]()
    of_image = set[Value]()
    for i, info in enumerate(network.layers):
        if not info.bottoms:
            if network.has_image_input and network.input_name in info.tops:
                value = (i, info.tops.index(network.input_name))
                of_image.add(value)
                maps[value] = Map()
            continue
        below = [value for value in graph.reads[i] if value in of_image]
        if not below:
            continue
        of_image |= {(i, j) for j in range(len(info.tops))}
        if info.type == "Split" or below[0] not in maps:
            continue
        for j, shape in enumerate(info.shapes):
            stride = _stride(info, shape, [maps.get(value) for value in below], _shape(network, below[0]))
            if stride is not None and max(stride) <= COARSEST:
                depth = max(maps[value].depth for value in below if value in maps) + info.type.endswith("Convolution")
                maps[i, j] = Map(depth, stride)
    return maps


def _stride(info: LayerInfo, shape: Shape, below: Sequence[Map | None], shape_below: Shape) -> tuple[Fraction, Fraction] | None:
    """Return the stride of what a layer writes, of a shape, over values with these maps; None where it has no map."""
    first = below[0]
    assert first is not None
    if len(shape) != 3 or shape[1:] == (1, 1):
        return None
    if info.reach is None:
        # Such as a factor of each channel that is made of the whole image: the places stay.
        return first.stride if shape[1:] == shape_below[1:] else None
    if None in below or info.reach.up != (1, 1):
        return None
    return first.stride[0] * info.reach.stride[0], first.stride[1] * info.reach.stride[1]


def _shape(network: Network, value: Value) -> Shape:
    """Return a value's shape at the file's size."""
    return network.layers[value[0]].shapes[value[1]]


def trunk(network: Network, maps: Mapping[Value, Map], end: Value) -> list[Value]:
    """Return the values that every path from the image to ``end`` goes through, lowest first, ``end`` among them.

    Of those of one depth one counts: after the nonlinearity, before pooling, normalization and dropout. Those with less than half of the
    channels of the one below are bottlenecks, and are left out.
    """
    above, chain = above_image(network), list[Value]()
    value: Value | None = end if end in above else None  # else it does not depend on the image
    while value is not None:
        chain.append(value)
        value = above[value]
    chain = [value for value in reversed(chain) if value in maps and maps[value].depth > 0]
    counting = [of_one_depth(network, list(group)) for _, group in groupby(chain, lambda value: maps[value].depth)]
    channels = [_shape(network, value)[0] for value in counting]
    return [value for i, value in enumerate(counting) if i == 0 or 2 * channels[i] >= channels[i - 1]]


def of_one_depth(network: Network, values: Sequence[Value]) -> Value:
    """Return which of several values of one depth, lowest first, counts: after the nonlinearity, before pooling and normalization."""
    types = [network.layers[i].type for i, _ in values]
    for value, type_ in zip(values, types, strict=True):
        if type_ in NONLINEAR:
            return value
    behind = next((k for k, type_ in enumerate(types) if type_ in BEHIND and k > 0), len(values))
    return values[behind - 1]


def above_image(network: Network) -> dict[Value, Value | None]:
    """Return for each value that depends on the image the nearest one below that every path from the image goes through."""
    graph = network.graph
    above: dict[Value, Value | None] = {}
    height: dict[Value, int] = {}
    for i, info in enumerate(network.layers):
        if not info.bottoms:
            if network.input_name in info.tops:
                above[i, info.tops.index(network.input_name)], height[i, info.tops.index(network.input_name)] = None, 0
            continue
        reads = graph.reads[i][:1] if info.type == "Crop" else graph.reads[i]  # of what else it reads only the size counts
        below = [value for value in reads if value in above]
        if not below or info.type == "Split":
            continue
        common = below[0]
        for other in below[1:]:
            while common != other:
                if height[common] < height[other]:
                    common, other = other, common
                step = above[common]
                assert step is not None  # the image is common to all
                common = step
        for j in range(len(info.tops)):
            above[i, j], height[i, j] = common, height[common] + 1
    return above


def reached(network: Network, name: str, item: Shape) -> bool:
    """Return whether a layer can be computed of an input of this shape."""
    try:
        network.backend.shapes([name], item)
    except ShapeError:
        return False
    return True


def in_tiles(network: Network, layer: str) -> bool:
    """Return whether a layer can be computed in tiles: nothing up to it sees the whole image at once, or reads another input."""
    try:
        Geometry(network.graph, network.input_name, [layer])
    except UsageError:
        return False
    return True


def nearest_layer(network: Network, layer: str, item: Shape, *, tiles: bool = False) -> str | None:
    """Return the highest layer with a map below another one that can be computed of an input of this shape; None if there is none.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    layer : str
        A layer's or blob's name.
    item : tuple of int
        (C, H, W) of the input.
    tiles : bool
        Whether it has to be computed in tiles, too.
    """
    end = network.graph.value(layer)
    names = [network.graph.name(*value) for value in trunk(network, maps_of(network), end) if value != end]
    # What can be computed goes up to some place of the trunk, since each is needed for the next.
    count = bisect_left(names, True, key=lambda name: not reached(network, name, item) or (tiles and not in_tiles(network, name)))
    return names[count - 1] if count else None
