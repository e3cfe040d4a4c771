"""Older forms of nets brought to the present one (V2), step by step as Caffe does.

References: Caffe's ``src/caffe/util/upgrade_proto.cpp``, ``UpgradeNetAsNeeded``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dreamopt.errors import NetError
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter, ParamSpec, V1LayerParameter
from dreamopt.schema.fields import copy_field
from dreamopt.schema.location import SourceLocation
from dreamopt.schema.upgrade_v0 import upgrade_v0

# V1's names are V2's in capitals with underscores, but for these.
_ODD_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BN": "BN",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
V1_TYPES: dict[int, str] = {
    number: _ODD_TYPES.get(name, "".join(word.capitalize() for word in name.split("_")))
    for name, number in V1LayerParameter.LayerType.items()
}
_MOVED_TO_TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")
_DATA_PARAMS = {
    V1LayerParameter.DATA: "data_param",
    V1LayerParameter.IMAGE_DATA: "image_data_param",
    V1LayerParameter.IMAGE_SEG_DATA: "image_data_param",
    V1LayerParameter.WINDOW_DATA: "window_data_param",
    V1LayerParameter.VIDEO_DATA: "image_data_param",
}


def upgrade(
    param: NetParameter, locations: Sequence[SourceLocation], top: SourceLocation, changes: list[str]
) -> tuple[NetParameter, list[SourceLocation]]:
    """Return the net in V2 form and the place of each of its layers.

    Parameters
    ----------
    param : NetParameter
        Of any age; it is not changed.
    locations : sequence of SourceLocation
        One for each layer of the file, in its order.
    top : SourceLocation
        The file and the lines of its outermost fields.
    changes : list of str
        Gets one sentence for each change that a reader of the file should know.

    Raises
    ------
    NetError
        For a net that mixes the old and the present form, or that Caffe refuses to upgrade.
    """
    upgraded = NetParameter()
    upgraded.CopyFrom(param)
    upgraded_locations = list(locations)
    if param.layer and param.layers:
        old = top.of("layers")
        raise NetError(
            f"{old}: the net has both 'layers' (V1) and 'layer' (V2, first at {top.of('layer')}) blocks, "
            "of which Caffe would drop the latter: use one form"
        )
    if any(layer.HasField("layer") for layer in upgraded.layers):
        count = len(upgraded.layers)
        upgraded, upgraded_locations = upgrade_v0(upgraded, upgraded_locations, changes)
        changes.append(
            f"the file has Caffe's V0 form of 2013: {count} layers were read as {len(upgraded_locations)} V1 layers, "
            "padding layers being folded into those they feed"
        )
    if upgraded.layers:
        for old_layer in upgraded.layers:
            _move_transformation(old_layer)
        for old_layer, location in zip(upgraded.layers, upgraded_locations, strict=True):
            _upgrade_v1_layer(old_layer, upgraded.layer.add(), location.newer)
        changes.append(f"the file has Caffe's V1 form ('layers'): {len(upgraded.layers)} layers were upgraded to V2")
        del upgraded.layers[:]
    upgraded_locations = _upgrade_input(upgraded, upgraded_locations, top, changes)
    for layer in upgraded.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            for spec in layer.param:  # the three are statistics, which no solver may touch
                spec.lr_mult = spec.decay_mult = 0
    return upgraded, upgraded_locations


def _move_transformation(layer: V1LayerParameter) -> None:
    group = _DATA_PARAMS.get(layer.type)
    if group is None or not layer.HasField(group):
        return
    source: Any = getattr(layer, group)
    for name in _MOVED_TO_TRANSFORM:
        if source.HasField(name):
            setattr(layer.transform_param, name, getattr(source, name))
            source.ClearField(name)
    if group == "image_data_param" and source.HasField("mean_value"):
        if not layer.transform_param.HasField("mean_file"):
            layer.transform_param.mean_value.append(source.mean_value)
        source.ClearField("mean_value")


def _upgrade_v1_layer(old: V1LayerParameter, new: LayerParameter, newer: LayerParameter | None) -> None:
    specs: list[ParamSpec] = [
        new.param.add() for _ in range(max(len(old.param), len(old.blob_share_mode), len(old.blobs_lr), len(old.weight_decay)))
    ]
    for spec, name in zip(specs, old.param, strict=False):
        spec.name = name
    for spec, mode in zip(specs, old.blob_share_mode, strict=False):
        spec.share_mode = ParamSpec.STRICT if mode == V1LayerParameter.STRICT else ParamSpec.PERMISSIVE
    for spec, rate in zip(specs, old.blobs_lr, strict=False):
        spec.lr_mult = rate
    for spec, decay in zip(specs, old.weight_decay, strict=False):
        spec.decay_mult = decay
    for field, value in old.ListFields():
        if field.name in ("param", "blob_share_mode", "blobs_lr", "weight_decay", "layer"):
            continue
        if field.name == "type":
            new.type = V1_TYPES[old.type]
        else:
            copy_field(new, field, value)
    if newer is not None:
        new.MergeFrom(newer)


def drop_bare_inputs(param: NetParameter, locations: list[SourceLocation], changes: list[str]) -> list[SourceLocation]:
    """Take the names that only say ``input: "data"``, without a shape, out of the first layer, where Caffe does not miss them.

    Caffe forgets all of them, and loads a net in which a layer makes that blob, or none reads it. One that is read, and made
    nowhere, stays: the caller may give its shape.

    Parameters
    ----------
    param : NetParameter
        A V2 net, filtered by its state, whose first layer was made of such names.
    locations : list of SourceLocation
        One for each layer.
    changes : list of str
        Gets a sentence for each name.
    """
    layer, others = param.layer[0], param.layer[1:]
    read = {bottom for other in others for bottom in other.bottom}
    makers: dict[str, str] = {}
    for other, location in zip(others, locations[1:], strict=True):
        for top in set(other.top).difference(other.bottom):
            makers.setdefault(top, f"layer '{other.name}' ({other.type}, {location}) makes it")
    for blob in list(layer.top):
        if blob in makers:
            why = makers[blob]
        elif blob not in read:
            why = "no layer reads it"
        else:
            continue
        layer.top.remove(blob)
        changes.append(f"{locations[0]}: the input '{blob}', of which no shape is given, is left out, as by Caffe: {why}")
    if layer.top:
        return locations
    del param.layer[0]
    return locations[1:]


def _upgrade_input(param: NetParameter, locations: list[SourceLocation], top: SourceLocation, changes: list[str]) -> list[SourceLocation]:
    if not param.input:
        return locations
    inputs = list(param.input)
    layer = LayerParameter(name="input", type="Input", top=inputs)
    if param.input_shape:
        if len(param.input_shape) != len(inputs):
            raise NetError(
                f"{top.of('input_shape')}: the net has {len(inputs)} input(s), but {len(param.input_shape)} input_shape: give one for each"
            )
        layer.input_param.shape.extend(param.input_shape)
    elif param.input_dim:
        if len(param.input_dim) != 4 * len(inputs):
            raise NetError(
                f"{top.of('input_dim')}: the net has {len(inputs)} input(s), but {len(param.input_dim)} input_dim: give four for each"
            )
        for i in range(len(inputs)):
            layer.input_param.shape.add(dim=param.input_dim[4 * i : 4 * i + 4])
    rest = list(param.layer)
    del param.layer[:], param.input[:], param.input_dim[:], param.input_shape[:]
    param.layer.append(layer)
    param.layer.extend(rest)
    changes.append(f"the net's input{'s' if len(inputs) > 1 else ''} {', '.join(map(repr, inputs))} became one layer 'input' of type Input")
    return [top.of("input"), *locations]
