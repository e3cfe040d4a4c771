"""Where a net says its classes: the layer of the scores before the Softmax, from the net's structure alone."""

from __future__ import annotations

from dreamopt.network.maps import Value
from dreamopt.network.network import Network

OUTPUTS = ("Softmax", "Sigmoid", "SoftmaxWithLoss", "SigmoidCrossEntropyLoss")
"""Types that make probabilities of scores."""
PASSED = ("Dropout", "Flatten", "Reshape", "Split", "Squeeze")
"""Types between a classifier's last layer and its Softmax, or the net's end, that change no class's number; Pooling takes its mean."""
NO_SCORES = ("ArgMax", "Accuracy", "Silence", "DetectionOutput", "Proposal", "PriorBox", "Data", "Input", "Split")
"""Types whose tops are no scores."""
_ASIDE = ("ArgMax", "Accuracy", "Silence")
"""Types that read class scores and write none: what they read is an output all the same."""
_COLOURS = 3


def find_class_layer(network: Network, *, maps: bool = True) -> str | None:
    """Return the layer of the class scores: what the net's last Softmax or Sigmoid reads, or where there is none its last output.

    Of outputs that are no such, those with as many numbers as there are labels come first. Positions of boxes and outputs that look like
    an image are no class scores; None for a net without any. Without ``maps``, neither is an output that is a map, where neither a Softmax
    nor labels say so: that of a net that ends in a convolution.
    """
    graph, labels = network.graph, network.labels
    read = {value for i, values in enumerate(graph.reads) if network.layers[i].type not in _ASIDE for value in values}
    best: tuple[tuple[bool, bool, int], str] | None = None
    for i, info in enumerate(network.layers):
        for top, shape in enumerate(info.shapes):
            if (i, top) in read or not info.bottoms or info.type in NO_SCORES:
                continue
            scores = below_output(network, (i, top))
            value = (i, top) if scores is None else scores
            shape = network.layers[value[0]].shapes[value[1]]
            is_map = len(shape) == 3 and shape[1] * shape[2] > 1
            labelled = labels is not None and shape[0] == len(labels)
            if len(shape) not in (1, 3) or shape[0] < 2 or (scores is None and is_map and shape[0] <= _COLOURS):
                continue
            if scores is None and is_map and not maps and not labelled:
                continue
            rank = (scores is not None, labelled, i)
            if best is None or rank > best[0]:
                best = rank, graph.name(*value)
    return None if best is None else best[1]


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
