"""Plain values and tensors as bytes, and back: JSON, then the tensors' numbers one behind the other. Reading it runs nothing.

torch's own files hold a pickle, and say of a tensor more numbers than they have without being refused; what is read here may be anybody's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamopt.errors import DreamoptError, OptimizeError
from dreamopt.parts.reading import parse_json

_TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
_MOST_AXES = 16


def pack(data: Any) -> bytes:
    """Return plain values (None, booleans, numbers, text), tensors, lists, tuples and mappings of these as bytes.

    Tensors come back with the same memory layout, since that decides the order in which numbers are added.

    Raises
    ------
    OptimizeError
        For anything else.

    Examples
    --------
    >>> unpack(pack({"step": 7, 3: (torch.arange(3), math.inf)}), "the file")
    {'step': 7, 3: (tensor([0, 1, 2]), inf)}
    """
    return b"".join(packed_parts(data))


def packed_parts(data: Any) -> list[bytes | memoryview]:
    """Return the parts of what `pack` returns, in order; the numbers of tensors on the CPU are not copied.

    A tensor that stands in several places is written once.
    """
    tensors: dict[int, tuple[Tensor, bytes | memoryview]] = {}
    described = json.dumps(_described(data, tensors)).encode()
    return [len(described).to_bytes(8, "big"), described, *(numbers for _, numbers in tensors.values())]


def unpack(content: bytes, what: str, error: type[DreamoptError] = OptimizeError) -> Any:
    """Return what was packed, tensors on the CPU.

    Raises
    ------
    DreamoptError
        Of the type ``error``, for bytes that `pack` did not make.
    """
    length = int.from_bytes(content[:8], "big")
    described = parse_json(content[8 : 8 + length], what, error)
    try:
        reading = _Reading(memoryview(content)[8 + length :])
        data = reading.value(described)
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise error(f"{what} is damaged: {problem}") from problem
    if reading.place != len(reading.numbers):
        raise error(f"{what} is damaged: it has {len(reading.numbers) - reading.place} bytes too many")
    return data


def _described(value: Any, tensors: dict[int, tuple[Tensor, bytes | memoryview]]) -> Any:
    if isinstance(value, Tensor):
        if id(value) in tensors:
            return {"same": list(tensors).index(id(value))}
        order = sorted(range(value.dim()), key=value.stride, reverse=True)  # equal ones as they stand
        dense = value.detach().cpu().permute(order).contiguous()
        tensors[id(value)] = value, dense.reshape(-1).view(torch.uint8).numpy().data if dense.numel() else b""
        return {"tensor": [str(value.dtype).removeprefix("torch."), list(dense.shape), order]}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_described(entry, tensors) for entry in value]
    if isinstance(value, tuple):
        return {"tuple": [_described(entry, tensors) for entry in value]}
    if isinstance(value, Mapping):
        return {"dict": [[_described(key, tensors), _described(entry, tensors)] for key, entry in value.items()]}
    raise OptimizeError(f"{type(value).__name__} {value!r} is neither a tensor nor a plain value, and no checkpoint can hold it")


class _Reading:
    """Numbers of tensors, read one behind the other."""

    def __init__(self, numbers: memoryview) -> None:
        self.numbers = numbers
        self.place = 0
        self.tensors: list[Tensor] = []

    def value(self, described: Any) -> Any:
        """Return the value that was described."""
        if isinstance(described, list):
            return [self.value(entry) for entry in described]
        if not isinstance(described, dict):
            return described
        if len(described) != 1:
            raise ValueError("a value has several kinds")
        [(kind, content)] = described.items()
        if kind == "tensor":
            self.tensors.append(self.tensor(*content))
            return self.tensors[-1]
        if kind == "same":
            if type(content) is not int or not 0 <= content < len(self.tensors):
                raise ValueError("a tensor that stands before is named, and there is none")
            return self.tensors[content]
        if kind == "float" and content in ("nan", "inf", "-inf"):
            return float(content)
        if kind == "tuple":
            return tuple(self.value(entry) for entry in content)
        if kind == "dict":
            return {self.key(key): self.value(entry) for key, entry in content}
        raise ValueError(f"there is no kind of value '{kind}'")

    def key(self, described: Any) -> str | int | bool | None:
        """Return a mapping's key."""
        if described is not None and not isinstance(described, str | int):
            raise ValueError("a key is neither text nor a whole number")
        return described

    def tensor(self, type_: Any, shape: Any, order: Any) -> Tensor:
        """Return the next tensor."""
        if type_ not in _TYPES or sorted(order) != list(range(len(shape))) or len(shape) > _MOST_AXES:
            raise ValueError("a tensor's type or axes")
        if not all(isinstance(side, int) and not isinstance(side, bool) and side >= 0 for side in shape):
            raise ValueError("a tensor's shape")
        dtype: torch.dtype = getattr(torch, type_)
        size = math.prod(shape) * dtype.itemsize
        if self.place + size > len(self.numbers):
            raise ValueError(f"a tensor of {size} bytes reaches beyond its end")
        numbers = bytearray(self.numbers[self.place : self.place + size])
        self.place += size
        values = torch.frombuffer(numbers, dtype=torch.uint8).clone().view(dtype) if size else torch.empty(0, dtype=dtype)
        if dtype is torch.bool:
            values = values.view(torch.uint8) != 0  # other bytes than 0 and 1 are none
        return values.reshape(shape).permute([order.index(axis) for axis in range(len(order))])
