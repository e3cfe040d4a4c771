"""The forms of plain values that a file holds (what JSON can say): each value is checked by key, and a misfit is one sentence naming it.

A form is a function of a value and its `Key`; it returns the checked value or raises. `record` and `listed` put forms together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamopt.errors import DreamoptError, UsageError
from dreamopt.parts.checks import ANY, COUNT, Range, check_number, check_whole, shown

LONGEST_TEXT = 2**20
"""Characters of the longest text in a value; a direction with thousands of numbers is one."""
MOST_ENTRIES = 100_000
"""The most entries of a list, or of a mapping."""


@dataclass(frozen=True)
class Key:
    """Where a value stands.

    Parameters
    ----------
    what : str
        What holds it, as "the metadata of out.png".
    path : str
        Its keys with points between them.
    error : type
        The error to raise.

    Examples
    --------
    >>> print(Key("the job").at("settings").at("stages").at(2))
    settings.stages[2] in the job
    """

    what: str
    path: str = ""
    error: type[DreamoptError] = UsageError

    def at(self, name: str | int) -> Key:
        """Return the key of an entry."""
        step = f"[{name}]" if isinstance(name, int) else f".{name}" if self.path else name
        return Key(self.what, self.path + step, self.error)

    def __str__(self) -> str:
        return f"{self.path} in {self.what}" if self.path else self.what

    def misfit(self, wanted: str, value: object) -> DreamoptError:
        """Return the error for a value that is not what is wanted."""
        return self.error(f"{self} must be {wanted}, not {shown(value)}")


Form = Callable[[Any, Key], Any]


def text(most: int = LONGEST_TEXT, pattern: str | None = None, wanted: str = "") -> Form:
    """Return the form of a text of at most so many characters, all of it matching a pattern if there is one."""

    def read(value: Any, key: Key) -> str:
        if not isinstance(value, str) or "\0" in value or (pattern is not None and not re.fullmatch(pattern, value)):
            raise key.misfit(wanted or "text", value)
        if len(value) > most:
            raise key.error(f"{key} must have at most {most} characters, not {len(value)}")
        return value

    return read


def whole(allowed: Range = COUNT) -> Form:
    """Return the form of a whole number in a range."""
    return lambda value, key: check_whole(str(key), value, allowed, key.error)


def number(allowed: Range = ANY) -> Form:
    """Return the form of a number in a range."""
    return lambda value, key: check_number(str(key), value, allowed, key.error)


def choice(*values: str | bool) -> Form:
    """Return the form of one of several values."""

    def read(value: Any, key: Key) -> Any:
        if not any(type(value) is type(allowed) and value == allowed for allowed in values):
            raise key.misfit(" or ".join(str(allowed).lower() if isinstance(allowed, bool) else repr(allowed) for allowed in values), value)
        return value

    return read


flag = choice(True, False)
"""The form of true and false."""


def optional(form: Form) -> Form:
    """Return the form of a value that may be null."""
    return lambda value, key: None if value is None else form(value, key)


def listed(form: Form, least: int = 0, most: int = MOST_ENTRIES) -> Form:
    """Return the form of a list of so many entries of one form."""

    def read(value: Any, key: Key) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise key.misfit("a list", value)
        if not least <= len(value) <= most:
            raise key.error(f"{key} must have from {least} to {most} entries, not {len(value)}")
        return [form(entry, key.at(place)) for place, entry in enumerate(value)]

    return read


def row(*forms: Form) -> Form:
    """Return the form of a list with one entry of each of several forms."""

    def read(value: Any, key: Key) -> list[Any]:
        if not isinstance(value, list | tuple) or len(value) != len(forms):
            raise key.misfit(f"a list of {len(forms)} entries", value)
        return [form(entry, key.at(place)) for place, (form, entry) in enumerate(zip(forms, value, strict=True))]

    return read


def mapped(form: Form, most: int = MOST_ENTRIES) -> Form:
    """Return the form of a mapping of any keys, its values of one form."""

    def read(value: Any, key: Key) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise key.misfit("a mapping", value)
        if len(value) > most:
            raise key.error(f"{key} must have at most {most} entries, not {len(value)}")
        return {name: form(value[name], key.at(name)) for name in value}

    return read


def anything(value: Any, key: Key) -> Any:
    """Return a value that is only handed on, whatever it is."""
    return value


def either(*forms: Form) -> Form:
    """Return the form of a value that is of one of several forms; the last one says what is wrong."""

    def read(value: Any, key: Key) -> Any:
        for form in forms[:-1]:
            try:
                return form(value, key)
            except DreamoptError:
                continue
        return forms[-1](value, key)

    return read


def record(required: Mapping[str, Form], others: Mapping[str, Form] | None = None, rest: str = "refused") -> Form:
    """Return the form of a mapping of known keys.

    Parameters
    ----------
    required : mapping of str to form
        Keys that must be there.
    others : mapping of str to form, optional
        Keys that may be.
    rest : {"refused", "dropped", "kept"}
        What becomes of all other keys.
    """
    known = {**required, **(others or {})}

    def read(value: Any, key: Key) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise key.misfit("a mapping", value)
        missing = next((name for name in required if name not in value), None)
        if missing is not None:
            raise key.error(f"{key.at(missing)} is missing")
        unknown = sorted(map(str, value.keys() - known.keys()))
        if unknown and rest == "refused":
            raise key.error(f"{key.at(unknown[0])} is not known; there are {', '.join(known)}")
        checked = {name: known[name](entry, key.at(name)) for name, entry in value.items() if name in known}
        return {**value, **checked} if rest == "kept" else checked

    return read


def same_length(fields: Mapping[str, Sequence[Any]], key: Key) -> None:
    """Raise the key's error unless lists that belong together are equally long."""
    (first, entries), *rest = fields.items()
    for name, other in rest:
        if len(other) != len(entries):
            raise key.error(f"{key.at(name)} has {len(other)} entries, but {first} has {len(entries)}")
