"""What all plugins share: how they are printed, where they were written, and which files they read."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from dreamopt.errors import UsageError, in_brackets, suggest_parameter
from dreamopt.parts.reading import open_regular

if TYPE_CHECKING:
    from dreamopt.parts.tuned import Tuned  # which reads checks, which reads this

INPUT_FILE: Mapping[str, Any] = MappingProxyType({"input_file": True})
"""Metadata of a field whose strings are paths of files that the part reads: ``field(metadata=INPUT_FILE)``."""


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
    return origin_of(type(plugin))


def origin_of(part: type) -> str:
    """Return the file in which a class was written."""
    try:
        return inspect.getsourcefile(part) or part.__module__
    except TypeError:
        return part.__module__


class Part:
    """What every part may say of itself.

    Attributes
    ----------
    examples : tuple of str
        Strings that make the part, with places to fill, as ``"peak({layer}, 3)"`` (`dreamopt.testing.bench` lists the places). All
        checks of the part, the tables of the documents and the check of a GPU read them. The first one is the plainest use.
    tuned : mapping of str to Tuned
        The numbers that a study may tune, by the names of their fields, each with the range that it tries where nobody says another one.
        Of an optimizer the first is its step size, or what stands for it. Where they depend on the part: `tuned_ranges`.
    """

    def __new__(cls, *_: Any, **named: Any) -> Self:
        """Refuse a parameter that there is not, and name the one that is meant."""
        known = _parameters(cls.__init__) if named and hasattr(cls, "__dataclass_fields__") else None
        unknown = None if known is None else next((name for name in named if name not in known), None)
        if known is not None and unknown is not None:
            hint = in_brackets(suggest_parameter(unknown, known))
            raise TypeError(f"{cls.__name__} has no parameter '{unknown}'{hint}; it has {', '.join(known) or 'none'}")
        return super().__new__(cls)

    examples: ClassVar[tuple[str, ...]] = ()
    tuned: ClassVar[Mapping[str, Tuned]] = {}

    def tuned_ranges(self) -> Mapping[str, Tuned]:
        """Return the ranges over which numbers of this part are tuned; those of its class by default."""
        return self.tuned

    def replaced(self, **changes: Any) -> Self:
        """Return the part with other values in some of its fields."""
        return dataclasses.replace(cast(Any, self), **changes)  # type: ignore[no-any-return]  # parts are dataclasses

    def __str__(self) -> str:
        return call_string(self)


@cache
def _parameters(init: Callable[..., None]) -> tuple[str, ...] | None:
    """Return the names that a class takes, by its ``__init__``; None where they are any."""
    _, *parameters = inspect.signature(init).parameters.values()
    return None if any(one.kind is one.VAR_KEYWORD for one in parameters) else tuple(one.name for one in parameters)


def field_names(part: Any) -> list[str]:
    """Return the parameters of a part, or of its class."""
    # Not __dataclass_fields__: it holds class variables too.
    return [known.name for known in dataclasses.fields(part) if known.init] if dataclasses.is_dataclass(part) else []


def is_path(field: dataclasses.Field[Any]) -> bool:
    """Return whether a field's strings are paths of files that the part reads."""
    return bool(field.metadata.get("input_file"))


def input_paths(part: object) -> tuple[str, ...]:
    """Return the paths of the files that a part reads, each once, those of the parts within it too.

    These are the strings in fields marked with `INPUT_FILE`, alone or in tuples. A name in such a field that is no file on this
    machine (a net of the model zoo) is among them.

    Examples
    --------
    >>> from dreamopt.objectives import Channel, Inversion
    >>> input_paths(Channel("conv4", 7) - 0.5 * Inversion("conv4", ("a.png", "b.png")))
    ('a.png', 'b.png')
    """
    return tuple(dict.fromkeys(_paths(part, False)))


def input_files(part: object) -> dict[str, str]:
    """Return the files that a part reads, `input_paths`, with the sha256 of each; names of no file are left out.

    Raises
    ------
    UsageError
        For a file that is there and cannot be read.
    """
    return {path: file_sha256(path) for path in input_paths(part) if os.path.isfile(path)}


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the sha256 of a file, in hexadecimal.

    Raises
    ------
    UsageError
        For a file that cannot be read.
    """
    with open_regular(path, "the file", UsageError) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _paths(value: object, marked: bool) -> Iterator[str]:
    if isinstance(value, str | os.PathLike):
        if marked:
            yield os.fspath(value)
    elif isinstance(value, tuple | list):
        for element in value:
            yield from _paths(element, marked)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _paths(getattr(value, field.name), is_path(field))
