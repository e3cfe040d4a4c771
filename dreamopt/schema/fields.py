"""The fields of protobuf messages: what the text reader asks of each, looked up once for each message type; copying one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_INTEGER_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


@dataclass(frozen=True)
class Field:
    """One field: its kind (``"message"``, ``"integer"``, ``"float"``, ``"bool"``, ``"enum"``, ``"string"``, ``"bytes"``) and limits."""

    name: str
    kind: str
    repeated: bool
    lowest: int
    highest: int
    choices: dict[str, int]
    message: Descriptor | None


@cache
def fields_of(message: Descriptor) -> dict[str, Field]:
    """Return the fields of a message by name."""
    return {field.name: _describe(field) for field in message.fields}


def copy_field(message: Any, field: FieldDescriptor, value: Any) -> None:
    """Give a message a field's value, or add a repeated field's values, as another message's ``ListFields`` returns them."""
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def _describe(field: FieldDescriptor) -> Field:
    lowest, highest = _INTEGER_RANGES.get(field.cpp_type, (0, 0))
    choices = {value.name: value.number for value in field.enum_type.values} if field.enum_type is not None else {}
    if field.message_type is not None:
        kind = "message"
    elif field.cpp_type in _INTEGER_RANGES:
        kind = "integer"
    elif field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        kind = "float"
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        kind = "bool"
    elif field.enum_type is not None:
        kind = "enum"
    else:
        kind = "bytes" if field.type == FieldDescriptor.TYPE_BYTES else "string"
    return Field(field.name, kind, field.is_repeated, lowest, highest, choices, field.message_type)
