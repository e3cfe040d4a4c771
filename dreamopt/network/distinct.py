"""The values of a net that differ by more than a name, in the order in which they are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dreamopt.network.maps import above_image

if TYPE_CHECKING:
    from dreamopt.network.network import Network

# What these write has the numbers of what they read, when a net is tested.
_SAME_NUMBERS = frozenset({"Dropout", "SpatialDropout", "Split", "Flatten", "Reshape"})
# And these have no gradient, or compare with labels.
_NO_GRADIENT = frozenset({"Accuracy", "ArgMax", "Threshold", "Silence", "DetectionOutput", "PriorBox"})


def distinct_layers(network: Network) -> list[str]:
    """Return a name for each value that depends on the image and differs from the others by more than its name, lowest first.

    Of a blob that layers in place write over, it is the last: a convolution and the ReLU on it count once, as the ReLU. What Dropout,
    Split, Flatten and Reshape write is what they read; losses, and layers without a gradient, are left out.

    Examples
    --------
    >>> import dreamopt
    >>> distinct_layers(dreamopt.load_net())[:3]
    ['conv1/relu', 'pool1', 'conv2/relu']
    """
    graph, depends, names = network.graph, above_image(network), []
    for (i, j), below in depends.items():
        info = network.layers[i]
        if below is None or info.type in _SAME_NUMBERS | _NO_GRADIENT or info.type.endswith("Loss"):
            continue
        later = [value for value in graph.writes[info.tops[j]] if value > (i, j)]
        if any(network.layers[k].type not in _SAME_NUMBERS for k, _ in later):
            continue
        names.append(graph.name(i, j))
    return names
