"""What the schema says of each message's fields, laid out for the text reader: looked up once for each message type."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

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
