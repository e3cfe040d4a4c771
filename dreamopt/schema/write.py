"""Writing weights as real Caffe reads them, whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from dreamopt.errors import DreamoptWarning, WeightsError
from dreamopt.parts.atomic import atomic_path, atomic_write
from dreamopt.parts.limits import MOST_VALUES
from dreamopt.schema.blob import Array
from dreamopt.schema.caffe_pb2 import BlobShape, LayerParameter, NetParameter
from dreamopt.schema.fields import copy_field
from dreamopt.schema.layer_weights import LayerWeights

_NET_LAYER, _LAYER_BLOB, _BLOB_DATA, _BLOB_SHAPE = 100, 7, 5, 7
_PROTOBUF_LIMIT = 2**31 - 1


def write_weights(path: str | Path, layers: Sequence[LayerWeights], net: NetParameter | None = None, form: str | None = None) -> None:
    """Write weights, with the net if given, so that Caffe 1.0 reads them.

    Parameters
    ----------
    path : str or Path
        ``.h5`` gives HDF5, any other name a caffemodel. An existing file is replaced once the new one is complete.
    layers : sequence of LayerWeights
        Names, types and float32 arrays of any shape.
    net : NetParameter, optional
        The net in V2 form (`NetDef.param`): all its layers are written in its order, with the weights of the same name. HDF5
        does not hold it.
    form : {"hdf5", "caffemodel"}, optional
        The format, whatever the name.

    Raises
    ------
    WeightsError
        If the file cannot be written, or a layer is not in the net.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from dreamopt.schema import read_weights
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "net.caffemodel.h5"
    >>> write_weights(path, [LayerWeights("fc8", "InnerProduct", [np.zeros((10, 7), np.float32), np.ones(10, np.float32)])])
    >>> [blob.shape for blob in read_weights(path)[0].blobs]
    [(10, 7), (10,)]
    """
    path = Path(path)
    for layer in layers:
        for blob in layer.blobs:
            if np.size(blob) > MOST_VALUES:
                raise WeightsError(
                    f"{path}: layer '{layer.name}' has a weight of {np.size(blob)} values, but a blob holds at most {MOST_VALUES}"
                )
    ordered = _with_net(path, layers, net)
    try:
        if path.suffix == ".h5" if form is None else form == "hdf5":
            from dreamopt.schema.hdf5_write import write_hdf5

            slashed = next((layer.name for layer in layers if "/" in layer.name), None)
            if slashed is not None:
                warnings.warn(
                    f"{path}: Caffe itself cannot read layers with a slash in their name, such as '{slashed}', from HDF5; dreamopt can",
                    DreamoptWarning,
                    stacklevel=2,
                )
            with atomic_path(path) as scratch:
                write_hdf5(scratch, layers)
        else:
            with atomic_write(path) as stream:
                _write_net(path, stream, ordered, net)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: the weights cannot be written ({error})") from error


def _with_net(path: Path, layers: Sequence[LayerWeights], net: NetParameter | None) -> list[tuple[LayerParameter, Sequence[Array]]]:
    if net is None:
        return [(LayerParameter(name=layer.name, type=layer.type), layer.blobs) for layer in layers]
    by_name: dict[str, list[LayerWeights]] = {}
    for layer in layers:
        by_name.setdefault(layer.name, []).append(layer)
    ordered: list[tuple[LayerParameter, Sequence[Array]]] = []
    for param in net.layer:
        layers_of_name = by_name.get(param.name)
        ordered.append((_without_blobs(param), layers_of_name.pop(0).blobs if layers_of_name else []))
    unknown = next((name for name, layers_of_name in by_name.items() if layers_of_name), None)
    if unknown is not None:
        raise WeightsError(f"{path}: the weights have a layer '{unknown}' that is not in the net")
    return ordered


def _without_blobs(param: LayerParameter) -> LayerParameter:
    copy = LayerParameter()
    if param.blobs:  # not copied only to be cleared: they may be the greater part of memory
        for field, value in param.ListFields():
            if field.name != "blobs":
                copy_field(copy, field, value)
    else:
        copy.CopyFrom(param)
    return copy


def _write_net(path: Path, stream: IO[bytes], layers: Sequence[tuple[LayerParameter, Sequence[Array]]], net: NetParameter | None) -> None:
    head = NetParameter()
    if net is not None:
        for field, value in net.ListFields():
            if field.name == "state":
                head.state.CopyFrom(value)
            elif not field.is_repeated:
                setattr(head, field.name, value)
    stream.write(head.SerializePartialToString())
    for param, blobs in layers:
        shapes = [BlobShape(dim=np.shape(blob)).SerializeToString() for blob in blobs]
        sizes = [_block(_BLOB_SHAPE, len(shape)) + _block(_BLOB_DATA, 4 * np.size(blob)) for shape, blob in zip(shapes, blobs, strict=True)]
        front = param.SerializePartialToString()
        stream.write(_key(_NET_LAYER, len(front) + sum(_block(_LAYER_BLOB, size) for size in sizes)))
        stream.write(front)
        for shape, size, blob in zip(shapes, sizes, blobs, strict=True):
            stream.write(_key(_LAYER_BLOB, size) + _key(_BLOB_SHAPE, len(shape)) + shape + _key(_BLOB_DATA, 4 * np.size(blob)))
            stream.write(np.ascontiguousarray(blob, "<f4").data)
    if stream.tell() > _PROTOBUF_LIMIT:
        warnings.warn(
            f"{path}: the file has {stream.tell()} bytes; Caffe itself reads at most {_PROTOBUF_LIMIT}, write .h5 for it",
            DreamoptWarning,
            stacklevel=3,
        )


def _key(number: int, length: int) -> bytes:
    return _varint(number << 3 | 2) + _varint(length)


def _block(number: int, length: int) -> int:
    return len(_key(number, length)) + length


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
