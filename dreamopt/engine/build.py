"""From a net's definition to its nodes: layers made, weights filled, shapes known."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from dreamopt.engine.blob import Blob
from dreamopt.engine.blob_layer import BlobLayer, BlobNode
from dreamopt.engine.fillers import check_filler, fill
from dreamopt.engine.graph import AUTOMATIC, NetGraph, constant, insert_splits
from dreamopt.engine.layer_types import layer_class
from dreamopt.engine.layers._axes import text
from dreamopt.engine.node import Node, check_blob
from dreamopt.errors import NetError

if TYPE_CHECKING:
    from dreamopt.engine.layer import Layer
    from dreamopt.schema import NetDef


def build(net: NetDef, phase: str, seed: int, allow_python_layers: bool = False) -> tuple[list[Node], dict[str, Blob], list[str]]:
    """Make the nodes of a net in Caffe's order, its blobs by name, and the names of its outputs.

    Parameters
    ----------
    net : NetDef
        As read.
    phase : {"TRAIN", "TEST"}
        What it was read for.
    seed : int
        For the weight fillers.
    allow_python_layers : bool
        Whether the classes that Python layers name may be imported and run.

    Raises
    ------
    NetError, ShapeError, UnknownLayerError
        Naming the layer, its file and line.
    """
    nodes: list[Node] = []
    node: Node
    blobs: dict[str, Blob] = {}
    available: set[str] = set()
    owners: dict[str, tuple[Layer, Blob]] = {}
    definitions, forced = insert_splits(net), net.param.force_backward
    for definition, skips in zip(definitions, NetGraph(definitions).skipped, strict=True):
        param = definition.param
        if param.type == "Python" and not allow_python_layers:
            raise NetError(
                f"{definition.where}: layer '{param.name}' (Python) runs code of the module '{param.python_param.module}': pass"
                " allow_python_layers=True if you trust it (caffe.allow_python_layers(), python -m dreamopt.caffe"
                " --allow-python-layers and DREAMOPT_ALLOW_PYTHON_LAYERS=1 allow it for every net)"
                + ("" if param.bottom else f"; it brings data: input_shape={{'{param.top[0]}': (1, 3, 224, 224)}} makes an input of it")
            )
        kind = layer_class(param.type, param.name, definition.where)
        if kind.is_loss and not param.top:
            param.top.append(AUTOMATIC)
        layer = kind(param, phase, definition.where)
        layer.check_counts()
        bottoms = [blobs[name] for name in param.bottom]
        available.difference_update(param.bottom)
        tops = []
        for i, name in enumerate(param.top):
            in_place = i < len(param.bottom) and param.bottom[i] == name
            if name in blobs and not in_place:
                layer.fail(f"makes the blob '{name}', which another layer makes already")
            tops.append(blobs[name] if in_place else blobs.setdefault(name, Blob((0,), name)))
            if name != AUTOMATIC:
                available.add(name)
        if isinstance(layer, BlobLayer):
            node = made = BlobNode(layer, bottoms, tops, definition.added)
            made.forced = layer.forced = forced
            node.weights = layer.begin(bottoms, tops)
            for i, blob in enumerate(node.weights):
                blob.name = f"{layer.name}[{i}]"
        else:
            node = Node(layer, bottoms, tops, definition.added)
            _make_weights(node, seed)
        node.skipped, node.stopped = skips, definition.stopped
        asked = [i for i, propagates in enumerate(param.propagate_down) if propagates and i in constant(layer)]
        node.label_bottom = asked[0] if asked else None
        _share(node, owners)
        node.reshape()
        first = (*bottoms, *node.weights)[:1]  # whose memory tops may use; Parameter has no bottom, but a weight
        if layer.caffe_traits.shares_data:
            for top in tops:
                top._data = first[0]._data
        if layer.caffe_traits.shares_diff and not (skips and layer.caffe_traits.shares_diff_in_backward):
            tops[0]._diff = first[0]._diff
        _seed_loss(node)
        nodes.append(node)
    return nodes, blobs, sorted(available)


def _share(node: Node, owners: dict[str, tuple[Layer, Blob]]) -> None:
    """Let weights that have the name of an earlier one (``param { name: "w" }``) use its memory, as Caffe's AppendParam does."""
    for i, (blob, spec) in enumerate(zip(node.weights, node.layer.param.param, strict=False)):
        if not spec.name:
            continue
        owner, owned = owners.setdefault(spec.name, (node.layer, blob))
        if owned is blob:
            continue
        strict = spec.share_mode == spec.STRICT
        if owned.count != blob.count or (strict and owned.shape != blob.shape):
            node.layer.fail(
                f"weight {i} has shape {blob.shape}, but shares the name '{spec.name}' with a weight of layer '{owner.name}' of shape"
                f" {owned.shape}; allowed is the same {'shape' if strict else 'number of values'}"
            )
        blob._data, blob._diff = owned._data, owned._diff
        node.borrowed.add(i)


def _make_weights(node: Node, seed: int) -> None:
    """Ask the layer for its weights and fill them; shape the tops of one that reads nothing."""
    layer = node.layer
    shapes = [blob.shape for blob in node.bottoms]
    with layer.fitting(shapes):
        wanted = layer.setup(shapes)
    for i, weight in enumerate(wanted):
        check_blob(layer, f"its weight {i}", tuple(weight.shape))
    node.weights = [Blob(tuple(w.shape), f"{layer.name}[{i}]") for i, w in enumerate(wanted)]
    for i, (blob, weight) in enumerate(zip(node.weights, wanted, strict=True)):
        blob._data.name = f"{layer.where}: layer '{layer.name}' ({layer.type}): weight {i} of shape {text(blob.shape)}"
        if weight.filler is not None:
            check_filler(blob.shape, weight.filler, layer.name)
            if weight.filler.type == "constant" and weight.filler.value == 0:
                continue  # as memory is anyway
            blob._data.fill_later(partial(fill, blob.shape, weight.filler, seed, layer.name, i))
    if not node.bottoms:
        for blob, shape in zip(node.tops, layer.shape(shapes), strict=True):
            check_blob(layer, f"its top '{blob.name}'", tuple(shape))
            blob.reshape(*shape)


def _seed_loss(node: Node) -> None:
    """Write the loss weights into the tops' diffs, where Caffe's backward pass starts from them."""
    layer = node.layer
    given = list(layer.param.loss_weight)
    if given and len(given) != layer.n_tops:
        layer.fail(f"there are {len(given)} loss_weight(s) for {layer.n_tops} top(s); allowed is one for each, or none")
    weights = given or ([float(layer.is_loss)] + [0.0] * layer.n_tops)[: layer.n_tops]
    for i, (top, weight) in enumerate(zip(node.tops, weights, strict=True)):
        if weight:
            node.loss_tops.add(i)
            top._diff.fill_later(partial(np.full, (), weight, np.float32))
