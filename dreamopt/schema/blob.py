"""Arrays as Caffe and its forks store them (BlobProto), read straight from a file's bytes.

The fields themselves show which of three forms it is: Caffe's; NVIDIA's, with the values' bytes in ``raw_data``; and that of C3D, whose
``length`` axis moved the fields behind it by one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dreamopt.parts.limits import MOST_AXES, MOST_VALUES
from dreamopt.schema.wire import BYTES, FIXED32, FIXED64, VARINT, Entry, Wire

Array = npt.NDArray[np.float32]
_DATA, _SHAPE, _DOUBLE_DATA, _RAW_TYPE, _RAW_DATA = 5, 7, 8, 10, 12
_LEGACY = (1, 2, 3, 4)  # num, channels, height, width
_C3D_WIDTH, _C3D_DATA = 5, 6  # after num, channels, length, height
_RAW = {0: ("<f8", "raw float64"), 1: ("<f4", "raw float32"), 2: ("<f2", "raw float16")}


def read_blob(wire: Wire, start: int, end: int) -> Array:
    """Return the array of the BlobProto at ``start:end``, in its stored shape and in memory of its own.

    Parameters
    ----------
    wire : Wire
        The file.
    start, end : int
        Where the message is.

    Raises
    ------
    WeightsError
        If shape and values do not fit each other, or the bytes are no BlobProto.
    """
    singles: list[npt.NDArray[np.generic]] = []
    doubles: list[npt.NDArray[np.generic]] = []
    raw: Entry | None = None
    raw_type = 0  # what protobuf takes where the field is absent
    legacy = dict.fromkeys(_LEGACY, 0)
    shape: list[int] | None = None
    old = c3d = False
    position = start
    while position < end:
        # A run of unpacked values is taken at one go: tag and value repeat at a fixed distance.
        run = _run(wire, position, end)
        if run is not None:
            values, position = run
            (singles if values.dtype == np.dtype("<f4") else doubles).append(values)
            continue
        entry = next(wire.entries(position, end))
        position = entry.end
        if entry.number == (_C3D_DATA if c3d else _DATA) and entry.wire == BYTES:
            singles.append(_packed(wire, entry, "<f4"))
        elif entry.number == _C3D_WIDTH and entry.wire == VARINT:  # in Caffe's form field 5 is the values, which are no integers
            old = c3d = True
            legacy[entry.number] = _int32(entry.value)
        elif entry.number == _DOUBLE_DATA and entry.wire == BYTES:
            doubles.append(_packed(wire, entry, "<f8"))
        elif entry.number == _RAW_TYPE and entry.wire == VARINT:
            raw_type = entry.value
        elif entry.number == _RAW_DATA and entry.wire == BYTES:
            raw = entry
        elif entry.number == _SHAPE and entry.wire == BYTES and not c3d:
            shape = shape if shape is not None else []
            for inner in wire.entries(entry.start, entry.end):
                if inner.number == 1:
                    shape += wire.varints(inner)
                    if len(shape) > MOST_AXES:
                        raise wire.error(inner.start, f"a shape has more than {MOST_AXES} axes")
        elif entry.number in legacy and entry.wire == VARINT:
            old = True
            legacy[entry.number] = _int32(entry.value)
    pieces = doubles if any(len(piece) for piece in doubles) else singles  # Caffe, too, prefers double_data
    stored = "" if not pieces else "C3D's float32" if c3d else "float64" if pieces is doubles else "float32"
    if raw is not None and raw.end > raw.start:
        if raw_type not in _RAW:
            raise wire.error(
                raw.start, f"a blob's raw values are of type {raw_type}, but weights are of type 0 (double), 1 (float) or 2 (half)"
            )
        kind, stored = _RAW[raw_type]
        pieces = [_packed(wire, raw, kind)]
    wire.stored.update(filter(None, [stored]))
    count = sum(len(piece) for piece in pieces)
    sizes = list(legacy.values()) if old else shape if shape is not None else [] if count == 1 else [count] if count else [0]
    _check(wire, start, sizes, count)
    values32 = np.empty(count, np.float32)
    at = 0
    with np.errstate(over="ignore"):
        for piece in pieces:
            values32[at : at + len(piece)] = piece
            at += len(piece)
    return values32.reshape(sizes)


def _check(wire: Wire, start: int, sizes: Sequence[int], count: int) -> None:
    product = 1
    for size in sizes:
        product *= size
    if any(not 0 <= size <= MOST_VALUES for size in sizes) or product > MOST_VALUES:
        raise wire.error(start, f"a blob has the shape {tuple(sizes)}, but sizes are 0 or more and their product is below 2^31")
    if product != count:
        raise wire.error(start, f"a blob of the shape {tuple(sizes)} needs {product} values, but {count} are stored")


def _packed(wire: Wire, entry: Entry, kind: str) -> npt.NDArray[np.generic]:
    width = np.dtype(kind).itemsize
    count, rest = divmod(entry.end - entry.start, width)
    if rest:
        raise wire.error(entry.start, f"the values of a blob take {entry.end - entry.start} bytes, which is no multiple of {width}")
    return np.frombuffer(wire.buffer, kind, count, entry.start)


def _run(wire: Wire, position: int, end: int) -> tuple[npt.NDArray[np.generic], int] | None:
    """Return the unpacked values that start here and where they end, or None if none does."""
    tag = wire.buffer[position]
    kinds = {_DATA << 3 | FIXED32: "<f4", _DOUBLE_DATA << 3 | FIXED64: "<f8"}
    if tag not in kinds:
        return None
    record = np.dtype([("tag", "u1"), ("value", kinds[tag])])
    count = (end - position) // record.itemsize
    wire.spend(position, 16)  # it takes the time of that many fields; Caffe's files have one run a blob, if any
    if count == 0:
        raise wire.error(position, "a blob's value is cut off: the file is truncated or damaged")
    # Looked at in pieces: a file of many short runs must not be scanned to its end for each of them.
    step = 64
    taken = 0
    while taken < count:
        tags = np.frombuffer(wire.buffer, record, min(step, count - taken), position + taken * record.itemsize)["tag"]
        other = np.flatnonzero(tags != tag)
        if len(other):
            taken += int(other[0])
            break
        taken += len(tags)
        step *= 4
    return np.frombuffer(wire.buffer, record, taken, position)["value"], position + taken * record.itemsize


def _int32(value: int) -> int:
    low = value & 0xFFFFFFFF
    return low - 2**32 if low >= 2**31 else low


def shapes_agree(a: Sequence[int], b: Sequence[int]) -> bool:
    """Return whether two shapes are equal up to leading ones, as the four-axis blobs of old files have them.

    Parameters
    ----------
    a, b : sequence of int
        Sizes of axes, slowest first.

    Examples
    --------
    >>> shapes_agree((1, 1, 10, 7), (10, 7))
    True
    >>> shapes_agree((7, 10), (10, 7))
    False
    """
    return _without_ones(a) == _without_ones(b)


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(shape)
    while sizes and sizes[0] == 1:
        sizes = sizes[1:]
    return sizes
