"""Lists and ranges: ``optimizer=adam,ascent(1.5, norm='mean')``, ``step_size=0.5..16``, ``jitter=0..32 linear``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamopt.errors import UsageError, printable
from dreamopt.parts.arguments import check_text
from dreamopt.parts.calls import check_string
from dreamopt.parts.checks import several

_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*(linear|log)?\s*")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
MOST_VALUES = 1000
"""The most values of one list."""


@dataclass(frozen=True)
class Span:
    """A range that a user says.

    Parameters
    ----------
    low, high : float
        Its ends.
    log : bool
        Whether equal ratios are equal distances.
    """

    low: float
    high: float
    log: bool = True


@dataclass(frozen=True)
class Varied:
    """One setting, and the values or the range that it takes.

    Parameters
    ----------
    name : str
        As before the sign in ``--set``, ``preset``, or ``step_size`` for the optimizer's own.
    values : tuple of str
        As after the sign in ``--set``.
    span : Span or None
        Instead of values; with neither, the range that the part declares.
    """

    name: str
    values: tuple[str, ...] = ()
    span: Span | None = None


def read_varied(text: str, what: str, bare: bool = False) -> Varied:
    """Return what an option says: ``NAME=A,B,C`` or ``NAME=LOW..HIGH``.

    Parameters
    ----------
    text : str
        The option's argument.
    what : str
        Names the option in errors.
    bare : bool
        Whether a name alone is allowed, which stands for the range that the part declares.

    Raises
    ------
    UsageError
        For a text of another form.

    Examples
    --------
    >>> read_varied("optimizer=adam(Linear(8, 1)),ascent(1.5, norm='mean')", "--vary").values
    ('adam(Linear(8, 1))', "ascent(1.5, norm='mean')")
    >>> read_varied("step_size=0.5..16", "--vary").span
    Span(low=0.5, high=16.0, log=True)
    """
    name, equals, rest = check_text(what, text).partition("=")
    name = name.strip()
    if bare and name and not equals:
        return Varied(name)
    if not (equals and name and rest.strip()):
        raise UsageError(
            f"{what} takes NAME=A,B,C or NAME=LOW..HIGH, as in optimizer=adam,ascent or step_size=0.5..16, not '{printable(text)}'"
        )
    return varied(name, rest, what)


def varied(name: str, said: Any, what: str) -> Varied:
    """Return a setting with the values of a list, or with a range or a list that a text says.

    Parameters
    ----------
    name : str
        Of the setting.
    said : Any
        A text as after the sign in ``--vary``; or the values: numbers, texts as in ``--set``, parts.
    what : str
        Names the option in errors.

    Examples
    --------
    >>> varied("views", [1, 4], "vary").values, varied("regularizers", [[], ["l2(0.1)"]], "vary").values
    (('1', '4'), ('[]', '["l2(0.1)"]'))
    """
    if isinstance(said, Varied):
        return said
    if isinstance(said, str):
        check_string(said, f"{what} of {name}", UsageError)
        match = _RANGE.fullmatch(said)
        if match is not None:
            return Varied(name, span=Span(float(match[1]), float(match[2]), match[3] != "linear"))
        values = split_values(said, f"{what} {name}")
    else:
        many = several(said)
        values = (value_text(said),) if many is None else tuple(value_text(value) for value in many)
    if not values or not all(values):
        raise UsageError(f"{what} {name} has no value between two commas; give NAME=A,B,C")
    if len(values) > MOST_VALUES:
        raise UsageError(f"{what} {name} has {len(values)} values, and at most {MOST_VALUES} are read")
    twice = next((value for place, value in enumerate(values) if value in values[:place]), None)
    if twice is not None:
        raise UsageError(f"{what} {name} has the value '{printable(twice, 80)}' twice")
    return Varied(name, values)


def split_values(text: str, what: str) -> tuple[str, ...]:
    """Return values with commas between them; commas in brackets and in quotes belong to a value, and quotes round a whole value go.

    Raises
    ------
    UsageError
        For brackets and quotes that do not close.

    Examples
    --------
    >>> split_values('lucid,"jitter(8)",["pad(4)","lucid"]', "--vary transforms")
    ('lucid', 'jitter(8)', '["pad(4)","lucid"]')
    """
    values, opened, quote, start = [], list[str](), "", 0
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[place - 1] != "\\" else quote
        elif sign in "\"'":
            quote = sign
        elif sign in _CLOSING:
            opened.append(_CLOSING[sign])
        elif sign in ")]}":
            if not opened or opened.pop() != sign:
                raise UsageError(f"{what}: '{printable(text, 120)}' has a '{sign}' that closes nothing")
        elif sign == "," and not opened:
            values.append(text[start:place])
            start = place + 1
    if quote or opened:
        raise UsageError(f"{what}: '{printable(text, 120)}' ends before its {'quote' if quote else 'bracket'} closes")
    return tuple(_unquoted(value.strip()) for value in (*values, text[start:]))


def value_text(value: object) -> str:
    """Return a value as it is said after the sign in ``--set``: parts as their strings, lists as JSON.

    >>> value_text(True), value_text(0.5), value_text(("lucid", "pad(4)"))
    ('true', '0.5', '["lucid", "pad(4)"]')
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, bytes)):
        return json.dumps(value, default=str)
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def _unquoted(value: str) -> str:
    whole = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" and value[0] not in value[1:-1]
    return value[1:-1] if whole else value
