"""Arrays in a reducer's state: how a file of a pass holds them behind its JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import UsageError
from dreamopt.parts.checks import Range
from dreamopt.parts.forms import Key, choice, listed, record, whole

MARK = "array"
"""The key of what stands for an array."""
_TYPES = {"<i4": np.int32, "<i8": np.int64, "<f4": np.float32, "<f8": np.float64}
_STANDS = record(
    {MARK: whole(Range(0, 2**62)), "type": choice(*_TYPES), "shape": listed(whole(Range(0, 2**31)), most=8)},
)


def taken_out(value: Any, into: list[NDArray[Any]], at: int = 0) -> Any:
    """Return a value with each array in it replaced by where its bytes begin, its type and its shape; the arrays are appended to a list.

    >>> arrays = []
    >>> taken_out({"a": [np.zeros((2, 3), np.float32)]}, arrays), len(arrays)
    ({'a': [{'array': 0, 'type': '<f4', 'shape': [2, 3]}]}, 1)
    """
    if isinstance(value, np.ndarray):
        start = sum(one.nbytes for one in into)
        into.append(np.ascontiguousarray(value, value.dtype.newbyteorder("<")))
        return {MARK: start, "type": into[-1].dtype.str, "shape": list(value.shape)}
    if isinstance(value, Mapping):
        return {name: taken_out(one, into) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [taken_out(one, into) for one in value]
    return value


def put_back(value: Any, content: memoryview, key: Key) -> Any:
    """Return a value with its arrays again, copies in memory; UsageError for one whose bytes are not there."""
    if isinstance(value, Mapping):
        if MARK in value:
            return _array(value, content, key)
        return {name: put_back(one, content, key.at(str(name))) for name, one in value.items()}
    if isinstance(value, list):
        return [put_back(one, content, key.at(place)) for place, one in enumerate(value)]
    return value


def _array(value: Mapping[str, Any], content: memoryview, key: Key) -> NDArray[Any]:
    stands = _STANDS(value, key)
    dtype, count = np.dtype(stands["type"]), math.prod(stands["shape"])
    if stands[MARK] + count * dtype.itemsize > len(content):
        raise UsageError(f"{key} is damaged: the file ends before its {count} numbers")
    array: NDArray[Any] = np.frombuffer(content, dtype, count, stands[MARK]).reshape(stands["shape"]).copy()
    return array


def array_form(value: Any, key: Key) -> NDArray[Any]:
    """Return a value that must be an array."""
    if not isinstance(value, np.ndarray):
        raise key.misfit("an array of numbers", value)
    return value


def check_arrays(found: Mapping[str, NDArray[Any]], like: Mapping[str, NDArray[Any]], key: Key) -> None:
    """Raise UsageError unless arrays have the types and shapes of others of the same names."""
    for name, own in like.items():
        if found[name].shape != own.shape or found[name].dtype != own.dtype:
            raise key.at(name).misfit(f"{own.dtype} numbers of shape {own.shape}", f"{found[name].dtype} of {found[name].shape}")
