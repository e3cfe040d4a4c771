"""Nets of 2013 (V0): ``layers { layer { ... } }`` with all settings in one flat message, brought to V1 as Caffe does.

References: Caffe's ``src/caffe/util/upgrade_proto.cpp``, ``UpgradeV0Net`` and what it calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dreamopt.errors import NetError
from dreamopt.schema.caffe_pb2 import NetParameter, V0LayerParameter, V1LayerParameter
from dreamopt.schema.fields import copy_field
from dreamopt.schema.location import SourceLocation

V0_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}

_CONV, _FULL, _POOL, _LRN = "convolution_param", "inner_product_param", "pooling_param", "lrn_param"
_DATA, _IMAGE, _WINDOW, _HDF5 = "data_param", "image_data_param", "window_data_param", "hdf5_data_param"

# Flat field -> for each V0 type that has it, the message and field where it lives since.
_MOVES: dict[str, dict[str, tuple[str, str]]] = {
    "num_output": {"conv": (_CONV, "num_output"), "innerproduct": (_FULL, "num_output")},
    "biasterm": {"conv": (_CONV, "bias_term"), "innerproduct": (_FULL, "bias_term")},
    "weight_filler": {"conv": (_CONV, "weight_filler"), "innerproduct": (_FULL, "weight_filler")},
    "bias_filler": {"conv": (_CONV, "bias_filler"), "innerproduct": (_FULL, "bias_filler")},
    "pad": {"conv": (_CONV, "pad"), "pool": (_POOL, "pad")},
    "kernelsize": {"conv": (_CONV, "kernel_size"), "pool": (_POOL, "kernel_size")},
    "group": {"conv": (_CONV, "group")},
    "stride": {"conv": (_CONV, "stride"), "pool": (_POOL, "stride")},
    "pool": {"pool": (_POOL, "pool")},
    "dropout_ratio": {"dropout": ("dropout_param", "dropout_ratio")},
    "local_size": {"lrn": (_LRN, "local_size")},
    "alpha": {"lrn": (_LRN, "alpha")},
    "beta": {"lrn": (_LRN, "beta")},
    "k": {"lrn": (_LRN, "k")},
    "source": {
        "data": (_DATA, "source"),
        "hdf5_data": (_HDF5, "source"),
        "images": (_IMAGE, "source"),
        "window_data": (_WINDOW, "source"),
        "infogain_loss": ("infogain_loss_param", "source"),
    },
    "batchsize": {
        kind: (where, "batch_size") for kind, where in (("data", _DATA), ("hdf5_data", _HDF5), ("images", _IMAGE), ("window_data", _WINDOW))
    },
    "rand_skip": {"data": (_DATA, "rand_skip"), "images": (_IMAGE, "rand_skip")},
    "shuffle_images": {"images": (_IMAGE, "shuffle")},
    "new_height": {"images": (_IMAGE, "new_height")},
    "new_width": {"images": (_IMAGE, "new_width")},
    "concat_dim": {"concat": ("concat_param", "concat_dim")},
    "det_fg_threshold": {"window_data": (_WINDOW, "fg_threshold")},
    "det_bg_threshold": {"window_data": (_WINDOW, "bg_threshold")},
    "det_fg_fraction": {"window_data": (_WINDOW, "fg_fraction")},
    "det_context_pad": {"window_data": (_WINDOW, "context_pad")},
    "det_crop_mode": {"window_data": (_WINDOW, "crop_mode")},
    "hdf5_output_param": {"hdf5_output": ("", "hdf5_output_param")},
}
_TRANSFORMS = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}


def upgrade_v0(param: NetParameter, locations: Sequence[SourceLocation], changes: list[str]) -> tuple[NetParameter, list[SourceLocation]]:
    """Return the net in V1 form, with the places of the layers that are left.

    Parameters
    ----------
    param : NetParameter
        A net some of whose ``layers`` have a ``layer`` inside.
    locations : sequence of SourceLocation
        One for each of ``param.layers``.
    changes : list of str
        Gets a sentence for what Caffe would lose.

    Raises
    ------
    NetError
        For a type that V0 did not have, or padding in front of anything but a convolution or pooling.
    """
    folded, kept_locations = _fold_padding(param, locations)
    upgraded = NetParameter()
    upgraded.CopyFrom(folded)
    del upgraded.layers[:]
    for old, location in zip(folded.layers, kept_locations, strict=True):
        _upgrade_layer(old, upgraded.layers.add(), location, changes)
    return upgraded, kept_locations


def _fold_padding(param: NetParameter, locations: Sequence[SourceLocation]) -> tuple[NetParameter, list[SourceLocation]]:
    folded = NetParameter()
    folded.CopyFrom(param)
    del folded.layers[:]
    kept_locations: list[SourceLocation] = []
    producer: dict[str, int | None] = dict.fromkeys(param.input)
    for i, layer in enumerate(param.layers):
        padding = layer.layer.type == "padding"
        where = f"{locations[i]}: layer '{layer.layer.name}'"
        if not padding:
            folded.layers.add().CopyFrom(layer)
            kept_locations.append(locations[i])
        for j, blob in enumerate(layer.bottom):
            if blob not in producer:
                raise NetError(f"{where}: the bottom '{blob}' is no top of a layer above and no input of the net")
            above = producer[blob]
            if above is None or param.layers[above].layer.type != "padding":
                continue
            source = param.layers[above]
            if layer.layer.type not in ("conv", "pool"):
                raise NetError(
                    f"{where}: the padding layer '{source.layer.name}' feeds a layer of type '{layer.layer.type}', "
                    "but only conv and pool can take one"
                )
            if len(layer.bottom) != 1 or len(source.bottom) != 1 or len(source.top) != 1:
                raise NetError(
                    f"{where}: this layer and the padding layer '{source.layer.name}' must have one bottom each, and the latter one top"
                )
            folded.layers[-1].layer.pad = source.layer.pad
            folded.layers[-1].bottom[j] = source.bottom[0]
        for blob in layer.top:
            producer[blob] = i
    return folded, kept_locations


def _upgrade_layer(old: V1LayerParameter, new: V1LayerParameter, location: SourceLocation, changes: list[str]) -> None:
    new.bottom.extend(old.bottom)
    new.top.extend(old.top)
    if not old.HasField("layer"):
        return
    flat: V0LayerParameter = old.layer
    if flat.HasField("name"):
        new.name = flat.name
    where = f"{location}: layer '{flat.name}'"
    if flat.HasField("type"):
        if flat.type not in V0_TYPES:
            raise NetError(f"{where} has the type '{flat.type}', but a V0 layer's type is one of padding, {', '.join(V0_TYPES)}")
        new.type = V1LayerParameter.LayerType.Value(V0_TYPES[flat.type])  # type: ignore[assignment]  # Value gives the bare number
    new.blobs.extend(flat.blobs)
    new.blobs_lr.extend(flat.blobs_lr)
    new.weight_decay.extend(flat.weight_decay)
    for field, value in flat.ListFields():
        if field.name in _TRANSFORMS:
            setattr(new.transform_param, _TRANSFORMS[field.name], value)
        elif field.name in _MOVES:
            target = _MOVES[field.name].get(flat.type)
            if target is None:
                changes.append(f"{where}: '{field.name}' means nothing to a layer of type '{flat.type}' and is left out, as Caffe does")
            else:
                _move(new, *target, value)


def _move(layer: V1LayerParameter, group: str, name: str, value: Any) -> None:
    owner: Any = getattr(layer, group) if group else layer
    field = owner.DESCRIPTOR.fields_by_name[name]
    copy_field(owner, field, [value] if field.is_repeated else value)
