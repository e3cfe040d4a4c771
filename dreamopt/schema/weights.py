"""Weights in and out: ``.caffemodel`` of any age and Caffe's HDF5."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from dreamopt.errors import WeightsError
from dreamopt.parts.reading import open_regular
from dreamopt.schema.blob import read_blob
from dreamopt.schema.caffe_pb2 import V1LayerParameter
from dreamopt.schema.file_type import describe_file_type, describe_message, is_prototxt, is_text
from dreamopt.schema.hdf5 import is_hdf5, read_hdf5
from dreamopt.schema.layer_weights import LayerWeights
from dreamopt.schema.upgrade import V1_TYPES
from dreamopt.schema.upgrade_v0 import V0_TYPES
from dreamopt.schema.wire import BYTES, VARINT, Wire

_MOST_LAYERS, _MOST_BLOBS = 100_000, 100_000


def read_weights(path: str | Path) -> list[LayerWeights]:
    """Read the layers of a ``.caffemodel`` (V0, V1, V2; of any size) or an HDF5 file of weights.

    Parameters
    ----------
    path : str or Path
        The file; its contents, not its name, tell which kind it is.

    Returns
    -------
    list of LayerWeights
        All layers of the file in its order, also those without weights.

    Raises
    ------
    WeightsError
        For a file that cannot be read, is something else, truncated or damaged; with layer and offset.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from dreamopt.schema import write_weights
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "net.caffemodel"
    >>> write_weights(path, [LayerWeights("conv1", "Convolution", [np.ones((2, 3, 5, 7), np.float32)])])
    >>> [(layer.name, layer.blobs[0].shape) for layer in read_weights(path)]
    [('conv1', (2, 3, 5, 7))]
    """
    with mapped_file(path, "the weights") as buffer:
        if is_hdf5(buffer):
            return read_hdf5(Path(path), len(buffer))
        refuse_other_types(path, buffer[:4096], "weights (.caffemodel)")
        return _layers(Wire(buffer, str(path)), len(buffer))


@contextlib.contextmanager
def mapped_file(path: str | Path, what: str) -> Iterator[mmap.mmap]:
    """Map a file into memory for reading; ``what`` names it in errors.

    Raises
    ------
    WeightsError
        If it is missing, empty or no regular file.
    """
    with open_regular(path, what, WeightsError) as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            raise WeightsError(f"{path}: the file is empty")
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        yield mapped
    finally:
        # An exception's traceback may still hold a view of it; the mapping then goes with the view.
        with contextlib.suppress(BufferError):
            mapped.close()


def refuse_other_types(path: str | Path, head: bytes, expected: str) -> None:
    """Raise a WeightsError if the first bytes of a file show that it is of another kind."""
    file_type = describe_file_type(head)
    if not file_type and is_prototxt(head):
        file_type = "a prototxt: give it as the net, and the .caffemodel as the weights"
    if not file_type and len(head) > 32 and is_text(head) and head[:1] != b"\n":
        file_type = "a text"
    if file_type:
        raise WeightsError(f"{path}: {expected} expected, but this is {file_type}")


def _layers(wire: Wire, end: int) -> list[LayerWeights]:
    layers: list[LayerWeights] = []
    blobs = 0
    other = describe_message(wire, end)
    if other:
        raise WeightsError(f"{wire.file}: weights (.caffemodel) expected, but this is {other}")
    for entry in wire.entries(0, end):
        if entry.number not in (100, 2):
            continue
        if entry.wire != BYTES:
            raise wire.error(entry.start, f"field {entry.number} of the net is no layer: the file is damaged, or no caffemodel")
        layer = _layer(wire, entry.start, entry.end, v2=entry.number == 100)
        layers.append(layer)
        blobs += len(layer.blobs)
        wire.layer = ""
        if len(layers) > _MOST_LAYERS or blobs > _MOST_BLOBS:
            raise wire.error(entry.start, f"the file has more than {_MOST_LAYERS} layers or {_MOST_BLOBS} blobs, which no caffemodel has")
    if not layers:
        raise WeightsError(f"{wire.file}: the file has no layers: it is no caffemodel")
    return layers


def _layer(wire: Wire, start: int, end: int, *, v2: bool) -> LayerWeights:
    name_field, type_field, blob_field = (1, 2, 7) if v2 else (4, 5, 6)
    layer = LayerWeights("", "")
    version = "V2" if v2 else "V1"
    wire.stored.clear()
    locations: list[tuple[int, int]] = []
    for entry in wire.entries(start, end):
        if entry.number == name_field:
            wire.layer = layer.name = wire.text(entry)
        elif entry.number == type_field and v2:
            layer.type = wire.text(entry)
        elif entry.number == type_field and entry.wire == VARINT:
            layer.type = V1_TYPES.get(entry.value, "")
        elif entry.number == blob_field and entry.wire == BYTES:
            locations.append((entry.start, entry.end))
        elif entry.number == 1 and not v2 and entry.wire == BYTES:  # V0: all but bottoms and tops is one level deeper
            version = "V0"
            for inner in wire.entries(entry.start, entry.end):
                if inner.number == 1:
                    wire.layer = layer.name = wire.text(inner)
                elif inner.number == 2:
                    v1_type = V0_TYPES.get(wire.text(inner))
                    layer.type = V1_TYPES[V1LayerParameter.LayerType.Value(v1_type)] if v1_type is not None else ""
                elif inner.number == 50 and inner.wire == BYTES:
                    locations.append((inner.start, inner.end))
        if len(locations) > _MOST_BLOBS:
            raise wire.error(entry.start, f"the layer has more than {_MOST_BLOBS} blobs, which no caffemodel has")
    layer.blobs = [read_blob(wire, first, last) for first, last in locations]
    layer.form = ", ".join([version, *sorted(wire.stored)])
    return layer
