"""The gradient below a chain of layers in place, from what stands in their blob."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from torch import Tensor

from dreamopt.engine.layers.batch_norm import BatchNorm
from dreamopt.engine.layers.relu import ReLU
from dreamopt.engine.layers.scale import Scale
from dreamopt.engine.node import Node


class _AsksForBottomError(Exception):
    pass


def through_in_place(nodes: Sequence[Node], value: Tensor, gradient: Tensor) -> Tensor | None:
    """Return what the layers in place at the end of ``nodes`` leave in the diff of their blob; None for others than the usual ones.

    Parameters
    ----------
    nodes : sequence of Node
        Layers in order; the last one runs in place.
    value : Tensor
        What it wrote.
    gradient : Tensor
        That of the value.
    """
    memory = nodes[-1].tops[0]._data
    for node in reversed(nodes):
        if not any(top._data is memory for top in node.tops):
            continue
        if not node.in_place:
            return gradient
        layer = node.layer
        if layer.caffe_traits.is_identity:
            continue
        if type(layer) is ReLU:  # under another one's factor its top is not there any more
            gradient = layer.backward_from_blobs(value, value, gradient, value)
        elif type(layer) in (BatchNorm, Scale) and layer.is_affine:
            weights = [blob._data.read(blob.shape, gradient.device).detach() for blob in node.weights]
            try:
                factor, _ = layer.affine(_no_bottom, weights)
            except _AsksForBottomError:
                return None
            gradient = gradient * (factor if factor.dim() == 0 else factor.reshape(1, -1, *(1,) * (gradient.dim() - 2)))
        else:
            return None
    return None


def _no_bottom() -> NoReturn:
    raise _AsksForBottomError
