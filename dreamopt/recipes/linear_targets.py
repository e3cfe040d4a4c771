"""Filters whose mean over an image asks for nothing but a colour: those that only linear layers lie below."""

from __future__ import annotations

from collections.abc import Iterable

from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.objectives import Channel

_LINEAR = {"Input", "Convolution", "BatchNorm", "Scale", "Bias", "Split", "Concat", "Slice", "Dropout"}
"""Types of layers of which positive and negative answers over an image cancel."""
_RECTIFIERS = {"ReLU", "PReLU", "ELU"}


def linear_hints(network: Network, objectives: Iterable[Objective]) -> list[str]:
    """Return a sentence for each layer below the first ReLU of which objectives maximise a filter's mean, with the name after the ReLU.

    The mean over space of a filter that is linear in the image is that of a colour: what it answers to in one place it answers to with
    the other sign beside it.

    Parameters
    ----------
    network : Network
        Where the layers are.
    objectives : iterable of Objective
        As they were given.

    Examples
    --------
    >>> import dreamopt
    >>> from dreamopt.objectives import Channel
    >>> net = dreamopt.load_net(device="cpu")
    >>> print(*linear_hints(net, [Channel("conv1", 7), Channel("conv1/relu", 7), Channel("conv2", 7)]))
    conv1 lies before the first ReLU: the mean of a filter over the image is no more than a colour; aim after it, at conv1/relu
    """
    layers = [one.layer for one in objectives if type(one) is Channel]
    named = {layer: after for layer, after in _linear(network).items() if layer in layers}
    return [
        f"{layer} lies before the first ReLU: the mean of a filter over the image is no more than a colour; aim after it, at {after}"
        for layer, after in named.items()
    ]


def _linear(network: Network) -> dict[str, str]:
    """Return by the name of each value that is linear in the image, and not the image, that of the ReLU which reads it."""
    linear, found = dict[str, list[str]](), dict[str, str]()
    for index, info in enumerate(network.layers):
        below = [linear.get(bottom) for bottom in info.bottoms]
        names = [network.graph.name(index, place) for place in range(len(info.tops))]
        if info.type in _RECTIFIERS and below and below[0]:
            found |= dict.fromkeys(below[0], names[0])
        is_linear = info.type in _LINEAR and all(one is not None for one in below)
        for top, name in zip(info.tops, names, strict=True):
            linear.pop(top, None)
            if is_linear:
                above = [one for several in below if several for one in several] if info.in_place or info.added else []
                linear[top] = [*above, *([name] if info.bottoms and not info.added else [])]
    return found
