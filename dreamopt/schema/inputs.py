"""Data layers of training nets become inputs; their shapes come from the file, or from the caller."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dreamopt.errors import NetError, UsageError
from dreamopt.parts.arguments import check_several
from dreamopt.parts.checks import plain_number
from dreamopt.parts.limits import MOST_AXES, MOST_VALUES
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter
from dreamopt.schema.input_roles import choose_input, input_roles
from dreamopt.schema.labels import find_labels, needs_label
from dreamopt.schema.location import SourceLocation
from dreamopt.schema.not_computed import Remainder

Shape = tuple[int, ...]
InputShape = Sequence[int] | Mapping[str, Sequence[int]] | None
OpenItem = tuple[int | None, int, int] | None
"""Channels (None: as the file says), height and width for images whose size the file leaves open."""
_COUNT_LIMIT = MOST_VALUES
_USUAL = {"rois": (1, 5), "gt_boxes": (1, 5), "im_info": (1, 3)}
"""Shapes of what detectors read beside the image."""
_UNKNOWN_CHANNELS = ("HDF5Data", "Python", "DummyData", "MemoryData")


def is_data_layer(layer: LayerParameter) -> bool:
    """Return whether a layer brings data into the net: ``...Data`` or ``Python`` without bottoms."""
    return not layer.bottom and bool(layer.top) and (layer.type.endswith("Data") or layer.type == "Python")


def make_inputs(
    param: NetParameter,
    locations: Sequence[SourceLocation],
    input_shape: InputShape,
    changes: list[str],
    keep: Collection[str] = (),
    open_item: OpenItem = None,
    optimized: str | None = None,
    remainder: Remainder | None = None,
) -> list[SourceLocation]:
    """Turn data layers into Input layers and leave out what needs their labels, in place; return the places of the layers left.

    Parameters
    ----------
    param : NetParameter
        A V2 net, filtered by its state.
    locations : sequence of SourceLocation
        One for each layer.
    input_shape : sequence of int, or mapping of blob name to sequence of int, or None
        The caller's shape of the input that is optimized, or shapes by blob; they go before what the file says.
    changes : list of str
        Gets one sentence for each layer changed or left out.
    keep : collection of str
        Types of data layers that stay as they are.
    open_item : tuple of int, optional
        (C, H, W) for the input that is optimized if its shape is neither given nor in the file; C may be None where the file tells it.
    optimized : str, optional
        The blob that is optimized; None, or a name that is no input's, is the first input that an image can go into.
    remainder : Remainder, optional
        Gets the other inputs whose shape is neither given nor in the file; without it they are refused as well.

    Raises
    ------
    NetError
        If a shape is neither given nor in the file.
    UsageError
        For an ``input_shape`` that is no shape, or is for no input of the net.
    """
    layers = list(param.layer)
    sources = [i for i, layer in enumerate(layers) if is_data_layer(layer) and layer.type not in keep]
    dropped, labels = find_labels(layers, sources)
    dropped |= _without_label(layers)
    inputs = [
        blob
        for i, layer in enumerate(layers)
        if i in sources or layer.type == "Input"
        for blob in layer.top
        if blob not in labels.get(i, ())
    ]
    main = optimized if optimized in inputs else choose_input(input_roles(layers, inputs), {}) if inputs else None
    shapes = _requested_shapes(input_shape, inputs, main, optimized)
    remaining_locations: list[SourceLocation] = []
    del param.layer[:]
    for i, (layer, location) in enumerate(zip(layers, locations, strict=True)):
        if open_item is not None and main is not None and main in layer.top and i not in dropped and main not in shapes:
            _fill_open(layer, main, location, open_item, shapes, changes)
        if i in dropped:
            changes.append(
                f"{location}: layer '{layer.name}' ({layer.type}) is left out, for it needs labels or only serves what needs them"
            )
        elif i in sources:
            blobs = [blob for blob in layer.top if blob not in labels[i]]
            label_tops = [blob for blob in layer.top if blob in labels[i]]
            input_layer = _input(layer, location, blobs, shapes, changes, main, remainder)
            if input_layer.top:
                param.layer.append(input_layer)
                remaining_locations.append(location)
                without = (
                    f", without the label{'s' if len(label_tops) > 1 else ''} {', '.join(map(repr, label_tops))}" if label_tops else ""
                )
                changes.append(f"{location}: data layer '{layer.name}' ({layer.type}) became an Input layer{without}")
            elif not blobs:
                changes.append(f"{location}: data layer '{layer.name}' ({layer.type}) is left out, for it gives labels only")
        else:
            if layer.type == "Input":
                _reshape_input(layer, location, shapes, changes, main, remainder)
                if not layer.top:
                    continue
            if layer.type in ("HDF5Output", "MatWrite"):
                file = f"the file '{layer.hdf5_output_param.file_name}'" if layer.type == "HDF5Output" else "its file"
                changes.append(f"{location}: layer '{layer.name}' ({layer.type}) takes its bottoms, but {file} is not written")
            param.layer.append(layer)
            remaining_locations.append(location)
    return remaining_locations


def _fill_open(
    layer: LayerParameter,
    blob: str,
    location: SourceLocation,
    item: tuple[int | None, int, int],
    shapes: dict[str, Shape],
    changes: list[str],
) -> None:
    """Give an input whose size the file leaves open the size that is wanted, if the number of its channels is known."""
    channels, height, width = item
    if layer.type == "Input":
        size_is_known = bool(layer.input_param.shape)
    else:
        size_is_known = _infer(layer, list(layer.top).index(blob), location, []) is not None
        assumptions: list[str] = []
        channels_in_file = None if layer.type in _UNKNOWN_CHANNELS else _channels(layer, location, assumptions)
        channels = channels_in_file if channels_in_file is not None and not assumptions else channels
    if not size_is_known and channels is not None:
        shapes[blob] = (1, channels, height, width)
        changes.append(f"{location}: the size of '{blob}', which the file leaves open, is {channels}x{height}x{width}, as was asked for")


def _without_label(layers: Sequence[LayerParameter]) -> set[int]:
    """Return the losses and scores whose label no layer makes."""
    earlier_blobs: set[str] = set()
    unlabelled: set[int] = set()
    for i, layer in enumerate(layers):
        if (
            needs_label(layer)
            and layer.bottom
            and layer.bottom[0] in earlier_blobs
            and any(blob not in earlier_blobs for blob in layer.bottom[1:])
        ):
            unlabelled.add(i)
        earlier_blobs.update(layer.top)
    return unlabelled


def _requested_shapes(input_shape: InputShape, inputs: Sequence[str], main: str | None, optimized: str | None) -> dict[str, Shape]:
    if input_shape is None:
        return {}
    if not isinstance(input_shape, Mapping):
        name = main if optimized is None else optimized
        if name is None:
            raise UsageError(f"input_shape={input_shape} is given, but the net has no input")
        input_shape = {name: input_shape}
    known = {blob: check_several("input_shape", shape, "whole numbers") for blob, shape in input_shape.items()}
    for blob, shape in known.items():
        if blob not in inputs and blob != optimized:
            raise UsageError(f"input_shape names the blob '{blob}', but the net's inputs are {', '.join(map(repr, inputs))}")
        if len(shape) > MOST_AXES:
            raise UsageError(f"the input_shape of '{blob}' has {len(shape)} axes, but a blob has at most {MOST_AXES}")
        count = 1
        for size in shape:
            number = plain_number(size)
            if number is None or number % 1 != 0 or number < 1:
                raise UsageError(f"the input_shape {tuple(shape)} of '{blob}' has to consist of whole numbers from 1 on")
            count *= int(number)
        if not shape:
            raise UsageError(f"the input_shape of '{blob}' is empty, but has to consist of whole numbers from 1 on")
        if count > _COUNT_LIMIT:
            raise UsageError(f"the input_shape {tuple(shape)} of '{blob}' has {count} values, but a blob holds at most {_COUNT_LIMIT}")
    # That of a blob that a layer makes is used where the net is cut there.
    return {blob: tuple(int(size) for size in shape) for blob, shape in known.items() if blob in inputs}


def _input(
    layer: LayerParameter,
    location: SourceLocation,
    blobs: Sequence[str],
    shapes: Mapping[str, Shape],
    changes: list[str],
    main: str | None,
    remainder: Remainder | None,
) -> LayerParameter:
    """Return an Input layer in place of a data layer, with those of its blobs whose shape is known."""
    input_layer = LayerParameter(name=layer.name, type="Input")
    input_layer.include.extend(layer.include)
    input_layer.exclude.extend(layer.exclude)
    if layer.HasField("transform_param"):
        input_layer.transform_param.CopyFrom(layer.transform_param)  # mean and scale: how this input wants to be made
        input_layer.transform_param.ClearField("resize_param")  # which the shape tells, and Caffe 1.0 does not know
    for blob in blobs:
        shape = shapes.get(blob)
        if shape is None:
            shape = _infer(layer, list(layer.top).index(blob), location, changes)
        if shape is None:
            _lack(layer, location, blob, "fills the blob '{}' with data whose size the file does not tell", main, remainder)
        else:
            _check_input(shape, layer, location)
            input_layer.top.append(blob)
            input_layer.input_param.shape.add(dim=shape)
    return input_layer


def _lack(layer: LayerParameter, location: SourceLocation, blob: str, what: str, main: str | None, remainder: Remainder | None) -> None:
    """Leave out an input whose shape nobody tells, or refuse it, if it is the main one or no input may be left out."""
    shape = _USUAL.get(blob, (1, 3, 224, 224))
    sentence = (
        f"{location}: layer '{layer.name}' ({layer.type}) {what.format(blob)}; "
        f"pass it, for instance input_shape={{'{blob}': {shape}}} (--input-shape {blob}={'x'.join(map(str, shape[1:]))})"
    )
    if remainder is None or blob == main:
        raise NetError(sentence)
    remainder.lose(blob, layer, location, sentence)


def _infer(layer: LayerParameter, index: int, location: SourceLocation, changes: list[str]) -> Shape | None:
    """Return the shape of a data layer's top as far as the file tells it."""
    if layer.type == "DummyData":
        return _dummy_shape(layer, index)
    if layer.type == "MemoryData":
        memory = layer.memory_data_param
        shape = (memory.batch_size, memory.channels, memory.height, memory.width)
        return None if 0 in shape else shape if index == 0 else shape[:1]
    if layer.type == "VideoData" and not layer.HasField("data_param"):
        return _video_shape(layer, index)
    options: Any = {
        "Data": layer.data_param,
        "ImageData": layer.image_data_param,
        "WindowData": layer.window_data_param,
        "AnnotatedData": layer.data_param,  # SSD
        "VideoData": layer.data_param,  # SSD's; those of C3D and TSN have no data_param
        "ImageSegData": layer.image_data_param,  # DeepLab
    }.get(layer.type)
    batch = 0 if options is None else options.batch_size
    if batch == 0:
        return None
    if index > 0:
        return (batch,)
    crop = layer.transform_param.crop_size
    height, width = crop, crop
    if crop == 0 and layer.type.startswith("Image"):
        height, width = layer.image_data_param.new_height, layer.image_data_param.new_width
    elif crop == 0:
        height, width = layer.transform_param.resize_param.height, layer.transform_param.resize_param.width
    if height == 0 or width == 0:
        return None
    return batch, _channels(layer, location, changes), height, width


def _video_shape(layer: LayerParameter, index: int) -> Shape | None:
    """Return the shape of what C3D's VideoData gives, (N, C, frames, H, W), or TSN's, whose frames are channels.

    References
    ----------
    facebookarchive/C3D, src/caffe/layers/video_data_layer.cpp. yjxiong/caffe, src/caffe/layers/video_data_layer.cpp.
    """
    options: Any = layer.video_data_param if layer.HasField("video_data_param") else layer.image_data_param
    if index > 0:
        return (options.batch_size,)
    crop = layer.transform_param.crop_size
    height, width = (crop, crop) if crop else (options.new_height, options.new_width)
    if min(options.batch_size, options.new_length, height, width) == 0:
        return None
    colours = 3 if options.is_color else 1
    if any(layer.video_data_param.HasField(name) for name in ("num_segments", "modality", "name_pattern")):
        flow = options.modality == options.FLOW
        return options.batch_size, (2 if flow else colours) * options.new_length * options.num_segments, height, width
    return options.batch_size, colours, options.new_length, height, width


def _channels(layer: LayerParameter, location: SourceLocation, changes: list[str]) -> int:
    transform = layer.transform_param
    if layer.type.startswith("Image"):
        return 3 if layer.image_data_param.is_color else 1
    if transform.force_gray:
        return 1
    if layer.type == "WindowData" or transform.force_color:
        return 3
    if len(transform.mean_value) > 1:
        return len(transform.mean_value)
    changes.append(
        f"{location}: the file does not tell how many channels the data of layer '{layer.name}' has; 3 are assumed, "
        "pass input_shape for others"
    )
    return 3


def _dummy_shape(layer: LayerParameter, index: int) -> Shape | None:
    dummy = layer.dummy_data_param
    if dummy.shape:
        return tuple(dummy.shape[index if len(dummy.shape) > 1 else 0].dim) if len(dummy.shape) in (1, len(layer.top)) else None
    old = (dummy.num, dummy.channels, dummy.height, dummy.width)
    if any(len(sizes) not in (1, len(layer.top)) for sizes in old):
        return None
    return tuple(sizes[index if len(sizes) > 1 else 0] for sizes in old)


def _reshape_input(
    layer: LayerParameter,
    location: SourceLocation,
    shapes: Mapping[str, Shape],
    changes: list[str],
    main: str | None,
    remainder: Remainder | None,
) -> None:
    """Give an Input layer the caller's shapes, and one shape for each top."""
    stored = [tuple(shape.dim) for shape in layer.input_param.shape]
    if len(stored) not in (0, 1, len(layer.top)):
        raise NetError(
            f"{location.of('input_param.shape')}: layer '{layer.name}' (Input) has {len(stored)} shapes for {len(layer.top)} tops: "
            "give one for all, or one for each"
        )
    if not stored:
        for blob in [blob for blob in layer.top if blob not in shapes]:
            _lack(layer, location, blob, "gives no shape for '{}'", main, remainder)
            layer.top.remove(blob)
    for k, blob in enumerate(layer.top):
        shape = shapes.get(blob)
        stored_shape = stored[k if len(stored) > 1 else 0] if stored else None
        if stored_shape is not None and shape is None:
            _check_input(stored_shape, layer, location)
        elif shape is not None and shape != stored_shape:
            if not layer.input_param.shape:
                layer.input_param.shape.add()
            if len(layer.input_param.shape) < len(layer.top):
                layer.input_param.shape.extend([layer.input_param.shape[0]] * (len(layer.top) - 1))
            del layer.input_param.shape[k].dim[:]
            layer.input_param.shape[k].dim.extend(shape)
            changes.append(
                f"{location}: the input '{blob}' has the shape {shape} that was asked for"
                + (f" instead of {stored_shape}" if stored_shape else "")
            )


def _check_input(shape: Shape, layer: LayerParameter, location: SourceLocation) -> None:
    if len(shape) > MOST_AXES or any(size < 0 for size in shape) or math.prod(shape) > _COUNT_LIMIT:
        raise NetError(
            f"{location.of('input_param.shape')}: layer '{layer.name}' ({layer.type}) has the shape {shape[:MOST_AXES]}, "
            "but sizes are 0 or more, at most 32, and their product below 2^31"
        )
