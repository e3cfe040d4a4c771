"""Which layer to dream on where none is named, and which would do where one cannot be taken: from the net's structure alone.

The rule of `choose_layer`. Names mean nothing; what counts is who reads whom, how windows move, and shapes.

1. A value *has a map* if its places move with the image: it does not come behind global pooling, InnerProduct or the like, it is not
   enlarged again (Deconvolution, a decoder), and its places lie at most 32 pixels apart.
2. Its *depth* is the largest number of convolutions on a path from the image to it. The deepest value with a map is the *end*.
3. The *trunk* is what every path from the image to the end goes through: what modules, blocks and stages hand on, never a branch within
   one, an auxiliary head, or a part that reads another input.
4. Of the trunk's values of one depth, the one after the nonlinearity counts, before pooling, normalization and dropout. Those with less
   than half of the channels of the one below are bottlenecks, and do not count.
5. The first of these at 0.61 of the end's depth or above is taken: in GoogLeNet ``inception_4c/output``, DeepDream's own. Where the image
   is too small for it, or so large that it has to be computed in tiles and this value cannot be, the next one below.
"""

from __future__ import annotations

from collections.abc import Sequence

from dreamopt.errors import ShapeError, UsageError
from dreamopt.network.maps import in_tiles, maps_of, reached, trunk
from dreamopt.network.network import Network, Size, kind_of
from dreamopt.parts.memory import free_memory

DEPTH = 0.61
"""Part of the end's depth. At 0.62 and above GoogLeNet's would be inception_4d, at 0.6 and below AlexNet's conv3."""


def choose_layer(network: Network, size: Size = None, *, smaller: Sequence[Size] = ()) -> str:
    """Return the name of a layer to dream on, chosen from the net's structure by the rule of this module.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`; its weights are not looked at.
    size : int or (int, int), optional
        Of the image, in pixels; the size in the net's file by default.
    smaller : sequence of sizes
        Others at which the net will be shown it: of octaves.

    Returns
    -------
    str
        A name as a target string takes it.

    Raises
    ------
    UsageError
        If no layer of the net has a map, or the net's input is no image.
    ShapeError
        If the image is too small for all of them.

    Examples
    --------
    >>> import dreamopt
    >>> choose_layer(dreamopt.load_net())
    'mixed4'
    """
    maps = maps_of(network)
    end = max((value for value in maps if maps[value].depth > 0), key=lambda value: (maps[value].depth, value), default=None)
    if end is None:
        raise UsageError(_no_map(network))
    values = trunk(network, maps, end)
    names = [network.graph.name(*value) for value in values]
    last = next((i for i, value in enumerate(values) if maps[value].depth >= DEPTH * maps[end].depth), len(values) - 1)
    items = [network.item_shape(one) for one in (size, *smaller)]
    for name in reversed(names[: last + 1]):
        if all(reached(network, name, item) for item in items) and (_fits(network, name, size) or in_tiles(network, name)):
            return name
    height, width = min(items)[1:]
    raise ShapeError(f"an image of {width} x {height} pixels is too small for the net: even its layer '{names[0]}' cannot be computed")


def described_layer(network: Network, layer: str) -> str:
    """Return in words what a layer with a map writes.

    >>> import dreamopt
    >>> described_layer(dreamopt.load_net(), "mixed4")
    'mixed4 (Concat, 208 channels, 8 pixels from place to place)'
    """
    value = network.graph.value(layer)
    info, place = network.layers[value[0]], maps_of(network).get(value)
    apart = "" if place is None else f", {max(place.stride)} pixels from place to place"
    return f"{layer} ({info.type}, {info.shapes[value[1]][0]} channels{apart})"


def _fits(network: Network, name: str, size: Size) -> bool:
    """Return whether half of the free memory holds a pass of the whole image, as far as anybody knows."""
    needs, free = network.memory_of([name], size), free_memory(str(network.device))
    return needs is None or free is None or needs <= free // 2


def _no_map(network: Network) -> str:
    if not network.has_image_input:
        return f"the net's input '{network.input_name}' is {kind_of(network.input_shape)}, and no layer can be chosen to dream on"
    names = [info.name for info in network.layers if info.bottoms and not info.added]
    some = f", for instance '{names[-1]}'" if names else ""
    return f"no layer of the net has a map whose places move with the image, so that none is chosen to dream on; name one yourself{some}"
