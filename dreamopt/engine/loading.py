"""Weights into a net's layers and out of them, by the layers' names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dreamopt.engine.batch_norms import PLAIN, ordered
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
    form: str = ""
    """How the file holds them, as `dreamopt.schema.LayerWeights.form`."""


def load_weights(
    nodes: Sequence[Node], weights: str | os.PathLike[str] | Sequence[LayerWeights], read_from: str | os.PathLike[str] = ""
) -> WeightsReport:
    """Copy weights into the layers of the same names.

    Parameters
    ----------
    nodes : sequence of Node
        The net's layers.
    weights : path or sequence of LayerWeights
        A caffemodel, binary or HDF5; or what was read from one.
    read_from : path
        The file that the weights were read from.

    Raises
    ------
    WeightsError
        If the number of a layer's weights, or the shape of one, is not the net's (up to leading ones).
    """
    if isinstance(weights, str | os.PathLike):
        read_from = weights
        weights = read_weights(Path(weights))
    source = os.fspath(read_from)
    by_name = {node.layer.name: node for node in nodes}
    loaded: list[str] = []
    unused: list[str] = []
    for item in weights:
        node = by_name.get(item.name)
        if node is None:
            if item.blobs:
                unused.append(item.name)
            continue
        if not item.blobs:
            continue
        stored = ordered(item.blobs) if node.layer.type == "BatchNorm" else item.blobs
        # HDF5 files leave out a weight that another layer shares: an empty slot, which keeps what stands there.
        left_out = range(len(stored), len(node.weights))
        # A BatchNorm with scale and shift inside takes Caffe's own, which has none: they stay 1 and 0.
        optional = range(PLAIN, len(node.weights)) if node.layer.type == "BatchNorm" and len(stored) >= PLAIN else ()
        blobs = [*stored, *(np.empty(0, np.float32) for i in left_out if i in node.borrowed or i in optional)]
        if len(blobs) != len(node.weights):
            hint = "; with scale_bias: true in its batch_norm_param it takes 5" if node.layer.type == "BatchNorm" else ""
            raise WeightsError(
                f"{source or 'weights'}: layer '{item.name}' has {len(item.blobs)} weights {[b.shape for b in item.blobs]}, but the net's"
                f" ({node.layer.where}) takes {len(node.weights)}: {[b.shape for b in node.weights]}{hint}"
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
    return WeightsReport(tuple(loaded), tuple(missing), tuple(unused), source, form_of(weights))


def form_of(weights: Sequence[LayerWeights]) -> str:
    """Return how a file holds its weights, in words.

    >>> form_of([LayerWeights("a", "", [], "V2"), LayerWeights("b", "", [], "V2, raw float16")])
    'V2, raw float16'
    """
    words = [word for layer in weights for word in layer.form.split(", ") if word]
    return ", ".join(dict.fromkeys(words))


def weights_of(nodes: Sequence[Node]) -> list[LayerWeights]:
    """Return the weights of all layers that have some."""
    return [LayerWeights(node.layer.name, node.layer.type, [blob.data.copy() for blob in node.weights]) for node in nodes if node.weights]
