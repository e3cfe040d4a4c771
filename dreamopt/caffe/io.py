"""``caffe.io``: images into nets and back, blobs and data to and from protobuf messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamopt.caffe.images import load_image, oversample, resize_image
from dreamopt.caffe.transformer import Transformer
from dreamopt.errors import ShapeError
from dreamopt.schema import caffe_pb2

Array = npt.NDArray[Any]


class DatumShapeError(ShapeError, ValueError):
    """An array that is no datum; a ValueError too, as in pycaffe."""


__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> Array:
    """Return the data (or the diff) of a BlobProto as an array of its shape, legacy 4-D shapes included."""
    values = np.array(blob.diff if return_diff else blob.data, np.float64)
    legacy = any(blob.HasField(f) for f in ("num", "channels", "height", "width"))
    return values.reshape((blob.num, blob.channels, blob.height, blob.width) if legacy else tuple(blob.shape.dim))


def array_to_blobproto(arr: Array, diff: Array | None = None) -> caffe_pb2.BlobProto:
    """Return a BlobProto with the array's shape and values, and those of ``diff`` where it is given."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).flat)
    if diff is not None:
        blob.diff.extend(diff.astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Sequence[Array]) -> bytes:
    """Serialize arrays as a BlobProtoVector."""
    return caffe_pb2.BlobProtoVector(blobs=[array_to_blobproto(a) for a in arraylist]).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[Array]:  # pycaffe's name, which scripts may use
    """Return the arrays of a serialized BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr: Array, label: int | None = None) -> caffe_pb2.Datum:
    """Return a Datum of a (C, H, W) array: bytes for uint8, floats otherwise.

    Raises
    ------
    DatumShapeError
        If the array has not three axes.
    """
    if arr.ndim != 3:
        raise DatumShapeError(f"a datum holds (channels, height, width), but the array's shape is {arr.shape}")
    datum = caffe_pb2.Datum(channels=arr.shape[0], height=arr.shape[1], width=arr.shape[2])
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> Array:
    """Return the (C, H, W) array of a Datum: uint8 if it holds bytes, float64 otherwise."""
    shape = (datum.channels, datum.height, datum.width)
    if datum.data:
        return np.frombuffer(datum.data, np.uint8).reshape(shape)
    return np.array(datum.float_data, float).reshape(shape)
