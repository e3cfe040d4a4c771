"""What is explained: the objective of each image, by default its highest class, and what kind of number it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.attribution.score import MadePass
from dreamopt.errors import UsageError
from dreamopt.network import Network, Size
from dreamopt.network.class_layer import NO_SCORES, OUTPUTS, PASSED, below_output, find_class_layer
from dreamopt.network.maps import Value
from dreamopt.objective import Objective, as_objective, each
from dreamopt.objectives import Channel, ClassScore, Neuron


def bound_objective(network: Network, objective: Objective | str | Sequence[Objective | str], size: Size = None) -> Objective:
    """Return the objective of a batch of images, bound for their size.

    Raises
    ------
    TargetError
        For a layer, unit or class that the network does not have.
    """
    return as_objective(objective).bind(network, network.item_shape(size)[1:] or None)


def class_objective(network: Network, scores: Tensor) -> Objective:
    """Return the highest class of each image as an objective, by the images' class scores, (N, K)."""
    layer = class_layer(network)
    return each([ClassScore(layer, int(unit)) for unit in scores.argmax(1)])


def class_layer(network: Network) -> str:
    """Return the layer of the class scores, as `dreamopt.network.class_layer.find_class_layer`.

    Raises
    ------
    UsageError
        For a net without classes.
    """
    found = find_class_layer(network)
    if found is None:
        raise UsageError("the net has no class scores; name what is to be explained with -t (objective=), as conv4:7")
    return found


def class_pass(network: Network, images: Tensor, backward: bool) -> MadePass:
    """Return a pass of images up to the class scores; without ``backward``, one whose gradient nobody can ask for.

    Raises
    ------
    UsageError
        For a net without classes.
    """
    layer = class_layer(network)
    with torch.set_grad_enabled(backward):
        leaf = images.detach().requires_grad_(backward)
        return MadePass(leaf, network.activations(leaf, [layer]))


def scores_of(made: MadePass) -> Tensor:
    """Return the class scores of images, (N, K), of a pass up to them; the mean over space where they are maps.

    Raises
    ------
    UsageError
        For a net whose classes are of boxes and not of images.
    """
    ((layer, scores),) = made.activations.items()
    scores, images = scores.detach(), made.images
    if scores.dim() < 2 or len(scores) != len(images):
        raise UsageError(f"layer '{layer}' has no class scores of a whole image; name what is to be explained with -t (objective=)")
    return scores.flatten(2).mean(2) if scores.dim() > 2 else scores


def explains(network: Network, objective: Objective) -> str:
    """Return in words what kind of number an objective is: a logit, a probability, another activation."""
    words = ", ".join(dict.fromkeys(_kind(network, layer) for layer in objective.layers))
    return words if isinstance(objective, Channel | ClassScore | Neuron) else f"{type(objective).__name__} of {words}"


def _kind(network: Network, layer: str) -> str:
    graph = network.graph
    value = graph.value(layer)
    info = network.layers[value[0]]
    if info.type in OUTPUTS:
        return f"a probability (layer '{layer}', {info.type}); its gradient also falls with what speaks for other classes"
    if info.type in PASSED and below_output(network, value) is not None:
        return f"a probability (layer '{layer}'); its gradient also falls with what speaks for other classes"
    end = _class_end(network, value)
    if end is None:
        return f"an activation (layer '{layer}', {info.type})"
    if network.layers[end].type in OUTPUTS:
        return f"a logit (layer '{layer}', before the {network.layers[end].type} '{network.layers[end].name}')"
    shape, labels = info.shapes[value[1]], network.labels
    if shape[1:] in ((), (1, 1)) or (labels is not None and len(labels) == shape[0]):
        return f"a class score (layer '{layer}', the net's output; no Softmax follows)"
    return f"an activation (layer '{layer}', {info.type}, an output of the net)"


def _class_end(network: Network, value: Value) -> int | None:
    """Return the Softmax or Sigmoid that reads a value, perhaps through layers that change no class's number, or the last of these.

    None where it is an inner layer's value: something else reads it.
    """
    while True:
        readers = [i for i in network.graph.readers.get(value, ()) if network.layers[i].type not in NO_SCORES]
        output = next((i for i in readers if network.layers[i].type in OUTPUTS), None)
        if output is not None or not readers:
            return value[0] if output is None else output
        further = next((i for i in readers if network.layers[i].type in PASSED or _is_global_mean(network, i)), None)
        if further is None:
            return None
        value = (further, 0)


def _is_global_mean(network: Network, i: int) -> bool:
    return network.layers[i].type == "Pooling" and network.layers[i].shapes[0][1:] in ((1, 1), ())


def label_of(network: Network, objective: Objective) -> str | None:
    """Return the class's name, where the objective is a class of a net whose labels are known."""
    labels = network.labels
    if labels is None or not isinstance(objective, Channel | ClassScore) or not isinstance(objective.unit, int):
        return None
    return labels[objective.unit] if network.shape_of(objective.layer)[0] == len(labels) else None
