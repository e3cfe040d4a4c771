"""Weights into a net's layers and out of them, by the layers' names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dreamopt.engine.node import Node
from dreamopt.errors import WeightsError
from dreamopt.schema import LayerWeights, read_weights, shapes_agree


@dataclass(frozen=True)
class WeightsReport:
    """What became of a weights file: names of layers, in order."""

    loaded: tuple[str, ...] = ()
    """Layers that took their weights from the file."""
    missing: tuple[str, ...] = ()
    """Layers with weights of their own that the file does not have; they keep what their fillers drew."""
    unused: tuple[str, ...] = ()
    """Layers of the file, with weights, that the net does not have."""
    source: str = ""
    """The file."""


def load_weights(nodes: Sequence[Node], weights: str | os.PathLike[str] | Sequence[LayerWeights]) -> WeightsReport:
    """Copy weights into the layers of the same names.

    Parameters
    ----------
    nodes : sequence of Node
        The net's layers.
    weights : path or sequence of LayerWeights
        A caffemodel, binary or HDF5; or what was read from one.

    Raises
    ------
    WeightsError
        If the number of a layer's weights, or the shape of one, is not the net's (up to leading ones).
    """
    source = "" if isinstance(weights, Sequence) and not isinstance(weights, str) else os.fspath(weights)
    given = read_weights(Path(source)) if source else weights
    assert not isinstance(given, str | os.PathLike)
    by_name = {node.layer.name: node for node in nodes}
    loaded: list[str] = []
    unused: list[str] = []
    for item in given:
        node = by_name.get(item.name)
        if node is None:
            if item.blobs:
                unused.append(item.name)
            continue
        if not item.blobs:
            continue
        # HDF5 files leave out a weight that another layer shares: an empty slot, which keeps what stands there.
        left_out = range(len(item.blobs), len(node.weights))
        blobs = [*item.blobs, *(np.empty(0, np.float32) for i in left_out if i in node.borrowed)]
        if len(blobs) != len(node.weights):
            raise WeightsError(
                f"{source or 'weights'}: layer '{item.name}' has {len(item.blobs)} weights {[b.shape for b in item.blobs]}, but the net's"
                f" ({node.layer.where}) takes {len(node.weights)}: {[b.shape for b in node.weights]}"
            )
        given_here = [(i, blob, array) for i, (blob, array) in enumerate(zip(node.weights, blobs, strict=True)) if array.shape != (0,)]
        for i, blob, array in given_here:
            if not shapes_agree(blob.shape, array.shape):
                raise WeightsError(
                    f"{source or 'weights'}: layer '{item.name}': weight {i} has shape {array.shape}, but the net's ({node.layer.where})"
                    f" has {blob.shape}"
                )
        for _, blob, array in given_here:
            blob._data.set_all(array.reshape(blob.shape))
        loaded.append(item.name)
    own = [node.layer.name for node in nodes if len(node.borrowed) < len(node.weights)]
    missing = [name for name in own if name not in set(loaded)]
    return WeightsReport(tuple(loaded), tuple(missing), tuple(unused), source)


def weights_of(nodes: Sequence[Node]) -> list[LayerWeights]:
    """Return the weights of all layers that have some."""
    return [LayerWeights(node.layer.name, node.layer.type, [blob.data.copy() for blob in node.weights]) for node in nodes if node.weights]
