"""What is explained: the objective of each image, by default its highest class, and what kind of number it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.network import Network, Size
from dreamopt.objective import Objective, as_objective, each
from dreamopt.objectives import Channel, ClassScore

_OUTPUTS = ("Softmax", "Sigmoid")


def bound_objective(
    network: Network, objective: Objective | str | Sequence[Objective | str] | None, images: Tensor, size: Size = None
) -> Objective:
    """Return the objective of a batch of images, bound for their size.

    Raises
    ------
    TargetError
        For a layer, unit or class that the network does not have.
    UsageError
        Without an objective for a net that has no classes.
    """
    at = network.item_shape(size)[1:] or None
    if objective is None:
        return each([ClassScore(class_layer(network), unit).bind(network, at) for unit in top_classes(network, images)])
    return as_objective(objective).bind(network, at)


def class_layer(network: Network) -> str:
    """Return the layer of the class scores: the value, of one number for each class, that the net's last Softmax reads, or its output.

    Raises
    ------
    UsageError
        For a net without classes.
    """
    graph = network.graph
    read = {value for values in graph.reads for value in values}
    for i, info in reversed(list(enumerate(network.layers))):
        if not info.shapes or (i, 0) in read or not info.bottoms:
            continue
        while network.layers[i].type in _OUTPUTS and graph.reads[i]:
            i = graph.reads[i][0][0]
        shape = network.layers[i].shapes[0]
        if len(shape) in (1, 3) and shape[0] > 1:
            return graph.name(i)
    raise UsageError("the net has no class scores; name what is to be explained with -t (objective=), as conv4:7")


def top_classes(network: Network, images: Tensor) -> list[int]:
    """Return each image's highest class."""
    with torch.no_grad():
        layer = class_layer(network)
        scores = network.activations(images, [layer])[layer]
    return [int(unit) for unit in scores.flatten(2).mean(2).argmax(1)] if scores.dim() > 2 else [int(u) for u in scores.argmax(1)]


def explains(network: Network, objective: Objective) -> str:
    """Return in words what kind of number an objective is: a logit, a probability, another activation."""
    return ", ".join(dict.fromkeys(_kind(network, layer) for layer in objective.layers))


def _kind(network: Network, layer: str) -> str:
    graph = network.graph
    value = graph.value(layer)
    info = network.layers[value[0]]
    if info.type in _OUTPUTS:
        return f"a probability (layer '{layer}', {info.type}); its gradient also falls with what speaks for other classes"
    reader = next((network.layers[i] for i in graph.readers.get(value, ()) if network.layers[i].type == "Softmax"), None)
    if reader is not None:
        return f"a logit (layer '{layer}', before the Softmax '{reader.name}')"
    return f"an activation (layer '{layer}', {info.type})"


def label_of(network: Network, objective: Objective) -> str | None:
    """Return the class's name, where the objective is a class of a net whose labels are known."""
    labels = network.labels
    if labels is None or not isinstance(objective, Channel | ClassScore) or not isinstance(objective.unit, int):
        return None
    return labels[objective.unit] if network.shape_of(objective.layer)[0] == len(labels) else None
