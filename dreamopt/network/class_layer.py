"""Where a net says its classes: the layer of the scores before the Softmax, from the net's structure alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dreamopt.backends.base import LayerInfo, NetGraph, Shape
from dreamopt.network.maps import Value
from dreamopt.network.network import Network
from dreamopt.schema import classes_in as classes_in
from dreamopt.schema import same_class as same_class  # re-exported for recipes/ and study/, which do not import schema/

OUTPUTS = ("Softmax", "Sigmoid", "SoftmaxWithLoss", "SigmoidCrossEntropyLoss")
"""Types that make probabilities of scores."""
PASSED = ("Dropout", "Flatten", "Reshape", "Split", "Squeeze")
"""Types between a classifier's last layer and its Softmax, or the net's end, that change no class's number; Pooling takes its mean."""
NO_SCORES = ("ArgMax", "Accuracy", "Silence", "DetectionOutput", "Proposal", "PriorBox", "Data", "Input", "Split")
"""Types whose tops are no scores."""
_ASIDE = ("ArgMax", "Accuracy", "Silence", "Split")
"""Types that read class scores and write none: what they read is an output all the same, unless, as behind a Split, others read it."""
_KEEPS_CLASSES = frozenset({*OUTPUTS, *PASSED, "Pooling", "SpatialDropout", "ReLU", "Power", "BatchNorm", "BN", "Scale", "Bias"})
"""Types that write a channel for each class where what they read does."""
_COLOURS = 3


def find_class_layer(network: Network, *, maps: bool = True) -> str | None:
    """Return the layer of the class scores: what the net's last Softmax or Sigmoid reads, or where there is none its last output.

    Of outputs that are no such, those with as many numbers as there are labels come first; what a loss judges is an output. Positions of
    boxes and outputs that look like an image are no class scores; None for a net without any. Without ``maps``, neither is an output that
    is a map, where neither a Softmax nor labels say so: that of a net that ends in a convolution.
    """
    best = max(_outputs(network, maps), key=lambda output: output.rank, default=None)
    return None if best is None else network.graph.name(*best.scores)


def class_counts(layers: Sequence[LayerInfo]) -> set[int]:
    """Return how many classes a net's outputs have: the channels of each value that no layer reads, from two on.

    Examples
    --------
    >>> fc8 = LayerInfo("fc8", "Parameter", (), ("fc8",), ((1000,),))
    >>> class_counts([fc8, LayerInfo("prob", "Softmax", ("fc8",), ("prob",), ((1000,),))])
    {1000}
    """
    read = {value for values in NetGraph(layers).reads for value in values}
    counts = [info.shapes[j][0] for i, info in enumerate(layers) for j in range(len(info.shapes)) if (i, j) not in read and info.shapes[j]]
    return {count for count in counts if count > 1}


def class_values(network: Network, *, labelled: bool = True) -> frozenset[Value]:
    """Return the values whose channels are the net's classes: the scores, what is made of them, and what they are means or shapes of.

    Of each output with classes they are those down to the layer with weights that gives the scores, so also of heads beside the last one.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    labelled : bool
        Only those with as many channels as the net has labels; none of a net without. Else those with as many as `find_class_layer`'s.

    Examples
    --------
    >>> import dreamopt
    >>> network = dreamopt.load_net()
    >>> [network.graph.name(*value) for value in sorted(class_values(network))]
    ['scores', 'prob']
    """
    outputs = _outputs(network)
    best = max(outputs, key=lambda output: output.rank, default=None)
    if best is None or (labelled and network.labels is None):
        return frozenset()
    count = len(network.labels) if labelled and network.labels is not None else _shape(network, best.scores)[0]
    found = set[Value]()
    for output in outputs:
        # What a loss writes is no value of classes, but what it reads.
        at: Value | None = output.value if _shape(network, output.value)[:1] == (count,) else output.scores
        while at is not None and _shape(network, at)[:1] == (count,):
            found.add(at)
            below = network.graph.reads[at[0]][:1] if network.layers[at[0]].type in _KEEPS_CLASSES else ()
            at = next(iter(below), None)
    return frozenset(found)


@dataclass(frozen=True)
class _Output:
    """An output that may be of classes: its value, that of its scores before a Softmax, and which comes first, by the highest rank."""

    value: Value
    scores: Value
    rank: tuple[bool, bool, int]


def _outputs(network: Network, maps: bool = True) -> list[_Output]:
    """Return the outputs with class scores, as `find_class_layer` tells them."""
    graph, labels, found = network.graph, network.labels, list[_Output]()
    read = {value for i, values in enumerate(graph.reads) for value in values[_judged(network, i) :]}
    for i, info in enumerate(network.layers):
        for top, shape in enumerate(info.shapes):
            if (i, top) in read or not info.bottoms or info.type in NO_SCORES:
                continue
            scores = below_output(network, (i, top))
            value = (i, top) if scores is None else scores
            shape = _shape(network, value)
            is_map = len(shape) == 3 and shape[1] * shape[2] > 1
            labelled = labels is not None and shape[:1] == (len(labels),)
            if len(shape) not in (1, 3) or shape[0] < 2 or (scores is None and is_map and shape[0] <= _COLOURS):
                continue
            if maps or scores is not None or not is_map or labelled:
                found.append(_Output((i, top), value, (scores is not None, labelled, i)))
    return found


def _judged(network: Network, i: int) -> int:
    """Return how many of a layer's bottoms are outputs all the same: all of what reads scores and writes none, of a loss the first."""
    info = network.layers[i]
    if info.type in _ASIDE:
        return len(info.bottoms)
    is_loss = info.type.endswith("Loss") or (info.type == "Python" and all(shape in ((), (1,)) for shape in info.shapes))
    return 1 if is_loss else 0


def _shape(network: Network, value: Value) -> Shape:
    return network.layers[value[0]].shapes[value[1]]


def below_output(network: Network, value: Value) -> Value | None:
    """Return what the Softmax or Sigmoid reads that makes an output, perhaps through layers that only shape it; None without one."""
    while network.graph.reads[value[0]]:
        kind = network.layers[value[0]].type
        below = network.graph.reads[value[0]][0]
        if kind in OUTPUTS:
            return below
        if kind not in PASSED:
            return None
        value = below
    return None
