"""Checks of the numbers in layers' parameters: finite, and such as Caffe can count with; each layer type checks what they mean to it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from dreamopt.errors import NetError
from dreamopt.parts.limits import MOST_AXES, MOST_VALUES
from dreamopt.schema.caffe_pb2 import LayerParameter
from dreamopt.schema.location import SourceLocation

_MAY_BE_INFINITE = {
    "clip_param.min",
    "clip_param.max",
    "threshold_param.threshold",
    "detection_output_param.confidence_threshold",
}
"""Bounds, which infinity takes away."""
_UNCOUNTED = {"data_param.rand_skip", "image_data_param.rand_skip", "hdf5_data_param.rand_skip", "rand_skip"}
_FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
_INTEGERS = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)


def check_numbers(layers: Sequence[LayerParameter], locations: Sequence[SourceLocation]) -> None:
    """Refuse parameters that are not finite, whole numbers beyond Caffe's, and shapes of more axes than a blob has.

    Parameters
    ----------
    layers : sequence of LayerParameter
        In V2 form.
    locations : sequence of SourceLocation
        One for each layer.

    Raises
    ------
    NetError
        Naming layer, field, file and line.

    Examples
    --------
    >>> layer = LayerParameter(name="p", type="Power", power_param={"scale": float("inf")})
    >>> check_numbers([layer], [SourceLocation("net.prototxt", 3)])
    Traceback (most recent call last):
    dreamopt.errors.NetError: net.prototxt:3: layer 'p' (Power): power_param.scale is inf, but has to be finite
    """
    for layer, location in zip(layers, locations, strict=True):
        for path, sentence in _wrong(layer, ""):
            raise NetError(f"{location.of(path)}: layer '{layer.name}' ({layer.type}): {path} {sentence}")


def _wrong(message: Any, path: str) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        name = f"{path}{field.name}"
        if name == "blobs":
            continue  # weights in the text
        if field.message_type is not None:
            for one in value if field.is_repeated else (value,):
                if field.message_type.name == "BlobShape" and len(one.dim) > MOST_AXES:
                    yield name, f"has {len(one.dim)} dimensions, but a blob has at most {MOST_AXES}"
                yield from _wrong(one, f"{name}.")
            continue
        values = value if field.is_repeated else (value,)
        if field.cpp_type in _FLOATS:
            for number in values:
                if math.isnan(number) or (math.isinf(number) and name not in _MAY_BE_INFINITE):
                    yield name, f"is {number:g}, but has to be {'a number' if name in _MAY_BE_INFINITE else 'finite'}"
        elif field.cpp_type in _INTEGERS and name not in _UNCOUNTED:
            for number in values:
                if abs(number) > MOST_VALUES:
                    yield name, f"is {number}, but Caffe counts up to {MOST_VALUES}"
