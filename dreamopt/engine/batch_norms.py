"""Scale and shift inside BatchNorm, as NVIDIA's and Intel's weights files have them: the net and the file brought together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dreamopt.engine.layers.batch_norm import scale_and_shift
from dreamopt.schema import LayerWeights, NetDef
from dreamopt.schema.blob import Array
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter

PLAIN = 3
"""The weights of Caffe's own BatchNorm: mean, variance, and their factor."""


def fit_batch_norms(net: NetDef, weights: Sequence[LayerWeights]) -> tuple[NetDef, list[LayerWeights]]:
    """Return the net and the weights so that each BatchNorm has as many weights in both.

    A file's scale and shift go to the Scale layer that follows in the net if the file has none for it (Intel's Caffe folds the two into one
    when it loads a net). Else the BatchNorm itself computes them, whatever the prototxt says.

    Parameters
    ----------
    net : NetDef
        Not changed.
    weights : sequence of LayerWeights
        Not changed.
    """
    in_file = {layer.name: layer for layer in weights if layer.blobs}
    inside = {name: ordered(layer.blobs) for name, layer in in_file.items() if len(layer.blobs) in (PLAIN + 1, PLAIN + 2)}
    inside = {layer.name: inside[layer.name] for layer in net.param.layer if layer.type == "BatchNorm" and layer.name in inside}
    if not inside:
        return net, list(weights)
    moved: dict[str, str] = {}
    param, changes = NetParameter(), list(net.changes)
    param.CopyFrom(net.param)
    for i, (layer, location) in enumerate(zip(param.layer, net.locations, strict=True)):
        if layer.type != "BatchNorm" or layer.name not in inside or scale_and_shift(layer.batch_norm_param)[0]:
            continue
        scale = _scale_behind(param.layer, i)
        where = f"{location}: layer '{layer.name}' (BatchNorm)"
        has_shift = len(inside[layer.name]) > PLAIN + 1
        if scale is not None and scale.name not in in_file:
            moved[layer.name] = scale.name
            scale.scale_param.bias_term = has_shift
            changes.append(f"{where}: the scale and shift that the weights file has inside it go to the layer '{scale.name}'")
        else:
            layer.batch_norm_param.use_weight_bias = True
            layer.batch_norm_param.bias_term = has_shift
            changes.append(
                f"{where}: the weights file has scale and shift inside it, and it computes them, as NVIDIA's and Intel's Caffe do"
            )
    fitted: list[LayerWeights] = []
    for layer_weights in weights:
        blobs = inside.get(layer_weights.name)
        if blobs is None:
            fitted.append(layer_weights)
        elif layer_weights.name in moved:
            fitted.append(replace(layer_weights, blobs=blobs[:PLAIN]))
            fitted.append(LayerWeights(moved[layer_weights.name], "Scale", blobs[PLAIN:], layer_weights.form))
        else:
            fitted.append(replace(layer_weights, blobs=blobs))
    return replace(net, param=param, changes=changes), fitted


def ordered(blobs: list[Array]) -> list[Array]:
    """Return the weights of a BatchNorm as mean, variance, factor, scale, shift, each of one axis.

    The first versions of NVIDIA's and Intel's Caffe had scale, shift, mean, variance, factor; the factor, which is one number, shows it.
    They stored them as (1, C, 1, 1).

    >>> import numpy as np
    >>> old = [np.full(2, value, np.float32) for value in (5, 6, 7, 8)] + [np.full(1, 9, np.float32)]
    >>> [float(blob[0]) for blob in ordered(old)]
    [7.0, 8.0, 9.0, 5.0, 6.0]
    """
    blobs = [blob.reshape(-1) if max(blob.shape, default=1) == blob.size else blob for blob in blobs]
    if len(blobs) == PLAIN + 2 and blobs[4].size == 1 and blobs[2].size != 1:
        return [blobs[2], blobs[3], blobs[4], blobs[0], blobs[1]]
    return blobs


def _scale_behind(layers: Sequence[LayerParameter], index: int) -> LayerParameter | None:
    """Return the Scale layer that alone reads what a layer writes."""
    blob = layers[index].top[0] if layers[index].top else ""
    readers = [layer for layer in layers[index + 1 :] if blob in layer.bottom]
    if not readers or readers[0].type != "Scale" or len(readers[0].bottom) != 1:
        return None
    spans_channels = readers[0].scale_param.axis in (1, -3) and readers[0].scale_param.num_axes == 1
    return readers[0] if spans_channels and (len(readers) == 1 or blob in readers[0].top) else None
