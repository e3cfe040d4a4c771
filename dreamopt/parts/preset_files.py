"""The files of presets: which there are, and what they say of themselves; nothing of it needs torch.

`dreamopt.recipes.preset` makes settings of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Self

from dreamopt.errors import UsageError, in_brackets, suggest
from dreamopt.parts.reading import parse_toml, read_text

ABOUT = ("title", "source", "example", "notes")
"""What a preset says of itself."""
_FIELDS: Mapping[str, tuple[type, str]] = {
    **dict.fromkeys(ABOUT, (str, "a text")),
    "size": (int, "a number of pixels"),
    "settings": (dict, "a table"),
    "stages": (list, "tables, one for each stage"),
    "check": (dict, "a table"),
}
"""What a preset's TOML holds."""
_LARGEST = 2**20
"""Bytes of the largest preset file."""


@dataclass(frozen=True)
class PresetFile:
    """What a preset's file says.

    Parameters
    ----------
    name : str
        As in ``--preset NAME``: first author and year.
    title, source : str
        What it is, and where its numbers were read.
    example : str
        A target that shows what it is for.
    notes : str
        What differs from the publication, and why.
    size : int or None
        Pixels of a side of the net it was made for.
    text : str
        The TOML file.
    """

    name: str
    title: str
    source: str
    example: str
    notes: str
    size: int | None
    text: str = field(repr=False)

    @classmethod
    def read(cls, name: str, text: str, *, published: bool = True) -> Self:
        """Return what a TOML text says.

        Parameters
        ----------
        name : str
            The preset's name.
        text : str
            The TOML.
        published : bool
            Whether it must say all of itself: title, source, example and notes.

        Raises
        ------
        UsageError
            For a text that is damaged, and for a field that is missing, unknown or of another kind.
        """
        table = preset_table(text, name)
        missing = next((key for key in ABOUT if key not in table), None)
        if published and missing is not None:
            raise UsageError(f"the preset '{name}' lacks the field '{missing}'")
        return cls(name, size=table.get("size"), text=text, **{key: table.get(key, "") for key in ABOUT})


@cache
def preset_names() -> tuple[str, ...]:
    """Return the names of all presets in order."""
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml")))


def check_preset(name: str) -> None:
    """Raise UsageError, with the presets that there are, for a name that is neither a preset's nor a file's."""
    if not is_preset_file(name) and name not in preset_names():
        hint = in_brackets(suggest(name, preset_names(), 1))
        raise UsageError(f"no preset is called '{name}'{hint}; there are {', '.join(preset_names())}")


def preset_text(name: str) -> str:
    """Return the TOML of a preset, or of a file (see `is_preset_file`).

    Raises
    ------
    UsageError
        For an unknown one, with those that there are, and a file that cannot be read.
    """
    check_preset(name)
    if is_preset_file(name):
        return read_text(name, "the preset", UsageError, _LARGEST)
    return _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8")


def is_preset_file(name: str) -> bool:
    """Return whether a preset is named by its file: a name that ends with ``.toml``, or holds a separator of folders.

    >>> is_preset_file("lucid2017"), is_preset_file("winner.toml"), is_preset_file("./winner")
    (False, True, True)
    """
    return name.lower().endswith(".toml") or any(sign is not None and sign in name for sign in (os.sep, os.altsep))


def preset_table(text: str, name: str) -> dict[str, Any]:
    """Return a preset's TOML, each field known and of its kind; UsageError where it is not."""
    table = parse_toml(text, f"the preset '{name}'", UsageError)
    for key, value in table.items():
        if key not in _FIELDS:
            hint = in_brackets(suggest(key, _FIELDS, 1))
            raise UsageError(f"the preset '{name}' has no field '{key}'{hint}; it has {', '.join(_FIELDS)}")
        kind, what = _FIELDS[key]
        fits = isinstance(value, kind) and not isinstance(value, bool)
        if not fits or (kind is list and not all(isinstance(entry, dict) for entry in value)):
            raise UsageError(f"the field '{key}' of the preset '{name}' must be {what}, not {value!r}")
    return table


def _folder() -> Traversable:
    return resources.files("dreamopt").joinpath("recipes", "presets")  # a package of its own would load its room
