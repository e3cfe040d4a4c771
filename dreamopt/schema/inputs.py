"""Data layers of training nets become inputs; their shapes come from the file, or from the caller."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dreamopt.errors import NetError, UsageError
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter
from dreamopt.schema.labels import find_labels, needs_label
from dreamopt.schema.place import Place

Shape = tuple[int, ...]
GivenShape = Sequence[int] | Mapping[str, Sequence[int]] | None
OpenItem = tuple[int | None, int, int] | None
"""Channels (None: as the file says), height and width for pictures whose size the file leaves open."""
_COUNT_LIMIT = 2**31 - 1
_UNKNOWN_CHANNELS = ("HDF5Data", "Python", "DummyData", "MemoryData")


def is_data_layer(layer: LayerParameter) -> bool:
    """Return whether a layer brings data into the net: ``...Data`` or ``Python`` without bottoms."""
    return not layer.bottom and bool(layer.top) and (layer.type.endswith("Data") or layer.type == "Python")


def make_inputs(
    param: NetParameter,
    places: Sequence[Place],
    given: GivenShape,
    changes: list[str],
    keep: Collection[str] = (),
    open_item: OpenItem = None,
) -> list[Place]:
    """Turn data layers into Input layers and leave out what needs their labels, in place; return the places of the layers left.

    Parameters
    ----------
    param : NetParameter
        A V2 net, filtered by its state.
    places : sequence of Place
        One for each layer.
    given : sequence of int, or mapping of blob name to sequence of int, or None
        The caller's shape of the first input, or shapes by blob; they go before what the file says.
    changes : list of str
        Gets one sentence for each layer changed or left out.
    keep : collection of str
        Types of data layers that stay as they are.
    open_item : tuple of int, optional
        (C, H, W) for the first input if its shape is neither given nor in the file; C may be None where the file tells it.

    Raises
    ------
    NetError
        If a shape is neither given nor in the file.
    UsageError
        For a given shape that is none, or is for no input.
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
    shapes = _given_shapes(given, inputs)
    kept: list[Place] = []
    del param.layer[:]
    for i, (layer, place) in enumerate(zip(layers, places, strict=True)):
        if open_item is not None and inputs and inputs[0] in layer.top and i not in dropped and inputs[0] not in shapes:
            _fill_open(layer, inputs[0], place, open_item, shapes, changes)
        if i in dropped:
            changes.append(f"{place}: layer '{layer.name}' ({layer.type}) is left out, for it needs labels or only serves what needs them")
        elif i in sources:
            blobs = [blob for blob in layer.top if blob not in labels[i]]
            gone = [blob for blob in layer.top if blob in labels[i]]
            if blobs:
                param.layer.append(_input(layer, place, blobs, shapes, changes))
                kept.append(place)
                without = f", without the label{'s' if len(gone) > 1 else ''} {', '.join(map(repr, gone))}" if gone else ""
                changes.append(f"{place}: data layer '{layer.name}' ({layer.type}) became an Input layer{without}")
            else:
                changes.append(f"{place}: data layer '{layer.name}' ({layer.type}) is left out, for it gives labels only")
        else:
            if layer.type == "Input":
                _reshape_input(layer, place, shapes, changes)
            if layer.type in ("HDF5Output", "MatWrite"):
                file = f"the file '{layer.hdf5_output_param.file_name}'" if layer.type == "HDF5Output" else "its file"
                changes.append(f"{place}: layer '{layer.name}' ({layer.type}) takes its bottoms, but {file} is not written")
            param.layer.append(layer)
            kept.append(place)
    return kept


def _fill_open(
    layer: LayerParameter, blob: str, place: Place, item: tuple[int | None, int, int], shapes: dict[str, Shape], changes: list[str]
) -> None:
    """Give an input whose size the file leaves open the size that is wanted, if the number of its channels is known."""
    channels, height, width = item
    if layer.type == "Input":
        told = bool(layer.input_param.shape)
    else:
        told = _infer(layer, list(layer.top).index(blob), place, []) is not None
        unsure: list[str] = []
        found = None if layer.type in _UNKNOWN_CHANNELS else _channels(layer, place, unsure)
        channels = found if found is not None and not unsure else channels
    if not told and channels is not None:
        shapes[blob] = (1, channels, height, width)
        changes.append(f"{place}: the size of '{blob}', which the file leaves open, is {channels}x{height}x{width}, as was asked for")


def _without_label(layers: Sequence[LayerParameter]) -> set[int]:
    """Return the losses and scores whose label no layer makes."""
    made: set[str] = set()
    found: set[int] = set()
    for i, layer in enumerate(layers):
        if needs_label(layer) and layer.bottom and layer.bottom[0] in made and any(blob not in made for blob in layer.bottom[1:]):
            found.add(i)
        made.update(layer.top)
    return found


def _given_shapes(given: GivenShape, inputs: Sequence[str]) -> dict[str, Shape]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        if not inputs:
            raise UsageError(f"input_shape={tuple(given)} is given, but the net has no input")
        given = {inputs[0]: given}
    for blob, shape in given.items():
        if blob not in inputs:
            raise UsageError(f"input_shape names the blob '{blob}', but the net's inputs are {', '.join(map(repr, inputs))}")
        count = 1
        for size in shape:
            if isinstance(size, bool) or not hasattr(size, "__index__") or size < 1:
                raise UsageError(f"the input_shape {tuple(shape)} of '{blob}' has to consist of whole numbers from 1 on")
            count *= size
        if count > _COUNT_LIMIT:
            raise UsageError(f"the input_shape {tuple(shape)} of '{blob}' has {count} values, but a blob holds at most {_COUNT_LIMIT}")
    return {blob: tuple(int(size) for size in shape) for blob, shape in given.items()}


def _input(layer: LayerParameter, place: Place, blobs: Sequence[str], shapes: Mapping[str, Shape], changes: list[str]) -> LayerParameter:
    made = LayerParameter(name=layer.name, type="Input", top=blobs)
    made.include.extend(layer.include)
    made.exclude.extend(layer.exclude)
    if layer.HasField("transform_param"):
        made.transform_param.CopyFrom(layer.transform_param)  # mean and scale: how this input wants to be made
        made.transform_param.ClearField("resize_param")  # which the shape tells, and Caffe 1.0 does not know
    for blob in blobs:
        shape = shapes.get(blob)
        if shape is None:
            shape = _infer(layer, list(layer.top).index(blob), place, changes)
        if shape is None:
            raise NetError(
                f"{place}: layer '{layer.name}' ({layer.type}) fills the blob '{blob}' with data whose size the file does not tell; "
                f"pass it, for instance input_shape={{'{blob}': (1, 3, 224, 224)}} (--input-shape {blob}=3x224x224)"
            )
        made.input_param.shape.add(dim=shape)
    return made


def _infer(layer: LayerParameter, index: int, place: Place, changes: list[str]) -> Shape | None:
    """Return the shape of a data layer's top as far as the file tells it."""
    if layer.type == "DummyData":
        return _dummy_shape(layer, index)
    if layer.type == "MemoryData":
        memory = layer.memory_data_param
        wanted = (memory.batch_size, memory.channels, memory.height, memory.width)
        return None if 0 in wanted else wanted if index == 0 else wanted[:1]
    options: Any = {
        "Data": layer.data_param,
        "ImageData": layer.image_data_param,
        "WindowData": layer.window_data_param,
        "AnnotatedData": layer.data_param,  # SSD
        "VideoData": layer.data_param,  # SSD
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
    return batch, _channels(layer, place, changes), height, width


def _channels(layer: LayerParameter, place: Place, changes: list[str]) -> int:
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
        f"{place}: the file does not tell how many channels the data of layer '{layer.name}' has; 3 are taken, pass input_shape for others"
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


def _reshape_input(layer: LayerParameter, place: Place, shapes: Mapping[str, Shape], changes: list[str]) -> None:
    """Give an Input layer the caller's shapes, and one shape for each top."""
    told = [tuple(shape.dim) for shape in layer.input_param.shape]
    if len(told) not in (0, 1, len(layer.top)):
        raise NetError(
            f"{place.of('input_param.shape')}: layer '{layer.name}' (Input) has {len(told)} shapes for {len(layer.top)} tops: "
            "give one for all, or one for each"
        )
    for k, blob in enumerate(layer.top):
        shape = shapes.get(blob)
        old = told[k if len(told) > 1 else 0] if told else None
        if shape is None and old is None:
            raise NetError(
                f"{place}: layer '{layer.name}' (Input) gives no shape for '{blob}'; "
                f"pass it, for instance input_shape={{'{blob}': (1, 3, 224, 224)}} (--input-shape {blob}=3x224x224)"
            )
        if old is not None and shape is None:
            _check_input(old, layer, place)
        elif shape is not None and shape != old:
            if not layer.input_param.shape:
                layer.input_param.shape.add()
            if len(layer.input_param.shape) < len(layer.top):
                layer.input_param.shape.extend([layer.input_param.shape[0]] * (len(layer.top) - 1))
            del layer.input_param.shape[k].dim[:]
            layer.input_param.shape[k].dim.extend(shape)
            changes.append(f"{place}: the input '{blob}' has the shape {shape} that was asked for" + (f" instead of {old}" if old else ""))


def _check_input(shape: Shape, layer: LayerParameter, place: Place) -> None:
    count = 1
    for size in shape:
        count *= size
    if any(size < 0 for size in shape) or count > _COUNT_LIMIT or len(shape) > 32:
        raise NetError(
            f"{place.of('input_param.shape')}: layer '{layer.name}' (Input) has the shape {shape}, "
            "but sizes are 0 or more, at most 32, and their product below 2^31"
        )
