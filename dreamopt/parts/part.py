"""What all plugins share: how they are printed, and where they were written."""

from __future__ import annotations

import dataclasses
import inspect
import json


def number_string(value: float) -> str:
    """Return the shortest usual form of a number that reads back as the same number.

    >>> number_string(2.0), number_string(0.1)
    ('2', '0.1')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def literal(value: object) -> str:
    """Return the Python literal of a parameter, strings in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if dataclasses.is_dataclass(value):
        return call_string(value) if type(value).__str__ is object.__str__ else str(value)
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(literal, value)) + ("," if len(value) == 1 else "") + ")"
    return repr(value)


def call_string(plugin: object) -> str:
    """Return ``Name(field=value, ...)`` of a frozen dataclass; fields at their default, and those with ``repr=False``, are left out."""
    if not dataclasses.is_dataclass(plugin):
        return f"{type(plugin).__name__}()"
    shown: list[str] = []
    for index, field in enumerate(dataclasses.fields(plugin)):
        value = getattr(plugin, field.name)
        if field.init and field.repr and (field.default is dataclasses.MISSING or value != field.default):
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            shown.append(literal(value) if required and len(shown) == index else f"{field.name}={literal(value)}")
    return f"{type(plugin).__name__}({', '.join(shown)})"


def origin(plugin: object) -> str:
    """Return the file in which an object's class was written, for errors."""
    try:
        return inspect.getsourcefile(type(plugin)) or type(plugin).__module__
    except TypeError:
        return type(plugin).__module__
