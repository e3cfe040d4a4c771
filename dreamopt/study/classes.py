"""Which units of a net are classes, and their probabilities: by the layers that follow, and by the labels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor

from dreamopt.network import Network
from dreamopt.objective import Objective, Scaled, UnitObjective
from dreamopt.study.scores import one_item

Value = tuple[int, int]
_BY_UNIT = frozenset(
    ("ReLU", "PReLU", "ELU", "Pooling", "Dropout", "Flatten", "Reshape", "Power", "Scale", "Bias", "BatchNorm", "Softmax", "Sigmoid")
)
"""Layers whose unit k is made of unit k below, as long as there are as many of them."""
_OF_LOGITS = frozenset(("SoftmaxWithLoss", "SoftmaxLoss", "Accuracy"))
_ENDS = frozenset(("Silence", "ArgMax", "Accuracy", "MultinomialLogisticLoss", "InfogainLoss"))


@dataclass(frozen=True)
class ClassOutput:
    """Where a net says how it classifies.

    Parameters
    ----------
    layer : str
        The name by which the value is asked for.
    kind : {"logits", "probabilities", "log odds"}
        What it is: numbers of which a softmax is to be taken; probabilities already; numbers of which a sigmoid is.
    count : int
        Classes.
    """

    layer: str
    kind: Literal["logits", "probabilities", "log odds"]
    count: int

    def probabilities(self, activation: Tensor) -> Tensor:
        """Return the probability of each class, (N, K), of the value (N, K, ...) that was asked for; over space their mean.

        >>> ClassOutput("fc8", "logits", 2).probabilities(torch.tensor([[0.0, 0.0]]))
        tensor([[0.5000, 0.5000]], dtype=torch.float64)
        """
        value = activation.double()
        if self.kind == "logits":
            value = torch.softmax(value, 1)
        elif self.kind == "log odds":
            value = torch.sigmoid(value)
        return value.reshape(*value.shape[:2], -1).mean(2)


@dataclass(frozen=True)
class ClassUnit:
    """A unit that is a class.

    Parameters
    ----------
    output : ClassOutput
        Where its probability is.
    number : int
        Of the class.
    """

    output: ClassOutput
    number: int


def class_of(network: Network, objective: Objective) -> ClassUnit | None:
    """Return the class that an objective asks for; None where it asks for anything else.

    A unit is a class if a Softmax or a Sigmoid at the net's end follows its layer, with nothing between them that mixes units, or a loss
    that takes one; or if the layer, or one that follows it so, is an output of the net with as many units as there are labels, and where no
    labels are known a flat one.

    Parameters
    ----------
    network : Network
        The net.
    objective : Objective
        Bound to it.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> from dreamopt.objective import parse
    >>> network = load_net()
    >>> [class_of(network, parse(text).bind(network)) is None for text in ("conv2:3", "scores:2")]
    [True, False]
    """
    alone = one_item(objective)
    while isinstance(alone, Scaled) and alone.factor > 0:
        alone = alone.term
    if not isinstance(alone, UnitObjective) or not isinstance(alone.unit, int):
        return None
    output = _output_of(network, network.graph.value(alone.layer))
    return None if output is None else ClassUnit(output, alone.unit)


def class_output(network: Network) -> ClassOutput | None:
    """Return the last of a net's outputs that classify, of as many classes as there are labels if one has; None where none does."""
    values = [(i, j) for i, info in enumerate(network.layers) if info.type != "Split" for j in range(len(info.tops))]
    outputs = [output for value in reversed(values) if (output := _output_of(network, value)) is not None]
    labelled = [output for output in outputs if network.labels is not None and output.count == len(network.labels)]
    return next(iter(labelled + outputs), None)


def _units(network: Network, value: Value) -> int:
    shapes = network.layers[value[0]].shapes
    return shapes[value[1]][0] if value[1] < len(shapes) and shapes[value[1]] else 1


def _output_of(network: Network, value: Value) -> ClassOutput | None:
    """Return the output in which a value's unit k is class k."""
    count, kind = _units(network, value), network.layers[value[0]].type
    if count < 2:
        return None
    name = network.graph.name(*value)
    readers = network.graph.readers.get(value, [])
    types = [network.layers[reader].type for reader in readers]
    if kind in ("Softmax", "Sigmoid") and all(type_ in _ENDS for type_ in types):
        return ClassOutput(name, "probabilities", count)
    for reader, type_ in zip(readers, types, strict=True):
        if type_ in _BY_UNIT and _units(network, (reader, 0)) == count:
            found = _output_of(network, (reader, 0))
            if found is not None:
                return found
    first = [type_ for reader, type_ in zip(readers, types, strict=True) if network.graph.reads[reader][0] == value]  # not as labels
    if any(type_ in _OF_LOGITS for type_ in first):
        return ClassOutput(name, "logits", count)
    if "SigmoidCrossEntropyLoss" in first:
        return ClassOutput(name, "log odds", count)
    if not all(type_ in _ENDS for type_ in types):
        return None
    named = prod(network.layers[value[0]].shapes[value[1]]) == count if network.labels is None else len(network.labels) == count
    return ClassOutput(name, "logits", count) if named else None


def mixed_from(network: Network, value: Value) -> Value:
    """Return the value that a classifier reads: below the layers that keep classes apart, and the one that mixes features into them."""
    reads, count = network.graph.reads, _units(network, value)
    while reads[value[0]] and network.layers[value[0]].type in _BY_UNIT and _units(network, reads[value[0]][0]) == count:
        value = reads[value[0]][0]
    return reads[value[0]][0] if reads[value[0]] else value
