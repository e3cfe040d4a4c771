"""The files that a part reads: each part says which of its fields name one, and a walk over nested parts collects them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator


def input_files(part: object) -> tuple[str, ...]:
    """Return the paths that a part and the parts within it read, each once.

    A part lists the fields that hold a path, or a sequence of paths, in ``file_fields``; a value in such a field that is no string
    (an array, a number) names no file.

    Examples
    --------
    >>> from typing import ClassVar
    >>> @dataclasses.dataclass(frozen=True)
    ... class Photo:
    ...     file_fields: ClassVar = ("image",)
    ...     image: str
    ...     title: str = "none.txt"
    >>> input_files((Photo("a.jpg"), Photo("b.jpg"), Photo("a.jpg")))
    ('a.jpg', 'b.jpg')
    """
    return tuple(dict.fromkeys(_files(part)))


def _files(part: object) -> Iterator[str]:
    if isinstance(part, tuple | list):
        for member in part:
            yield from _files(member)
    if not dataclasses.is_dataclass(part):
        return
    named = getattr(type(part), "file_fields", ())
    for field in dataclasses.fields(part):
        value = getattr(part, field.name, None)
        yield from _paths(value) if field.name in named else _files(value)


def _paths(value: object) -> Iterator[str]:
    if isinstance(value, str | os.PathLike):
        yield os.fspath(value)  # type: ignore[misc]  # no part is given bytes
    elif isinstance(value, tuple | list):
        for member in value:
            yield from _paths(member)
    else:
        yield from _files(value)
