r"""Strings that name objectives; printing an objective gives a string that makes it again.

From the loosest to the tightest binding::

    conv4:7 | fc8:3            the one for sample 0, the other for sample 1
    0.5*conv4:7 - fc8:3        sums; + and - stand between spaces, since layer names may hold them
    2*(conv4:7 + fc8:3)        a number times one term, or times a sum in brackets
    conv4:7                    channel 7 of conv4 (on a flat layer, unit 7)
    conv4:7,9                  channel 7 for item 0, channel 9 for item 1
    conv4:7@3,5                the neuron in row 3, column 5; conv4:7,9@3,5;4,4 gives each item its own place
    conv4:7@centre             the neuron in the middle
    conv4:7@1,3,5              in a volume, a number for each of its axes; conv4:7@5 in a signal
    conv4:7@(3,5;4,4)          the mean of several neurons; conv4:7,9@(3,5;4,4);(1,1) gives each item its own list
    inception_4c/output        a layer alone: its energy, DeepDream's objective
    conv4:7 / 3                a term divided by a number; / stands between spaces, too
    fc8:tabby cat              the class of that name
    fc8:"7","a | b"            names in double quotes, for a list of them or for one with special signs
    Name("conv4", power=2)     any objective by name, with Python literals; a layer that is its first parameter needs no quotes

The layer ends at the last colon before the unit, so that layer names may hold ``/`` and ``:``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from dreamopt.errors import ObjectiveError
from dreamopt.objective.function import from_function
from dreamopt.objective.objective import BARE_LAYER, Objective, each
from dreamopt.parts.calls import CALL, DEEPEST, NUMBER, check_string, closing, make_part, signed_terms, split
from dreamopt.parts.reading import MOST_DIGITS
from dreamopt.parts.registry import Registry

objectives: Registry[Objective] = Registry(
    "objective",
    "dreamopt.objectives",
    Objective,
    ObjectiveError,
    {Objective: {"layers": (), "value": ("self", "activations")}},
    adapt=from_function,
)
"""All objectives by name."""

_DIVIDED = re.compile(r"(.+)\s/\s+([+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?)", re.DOTALL)
_BARE_FIRST = re.compile(r"""\(\s*([^\W\d][^\s"'()\[\]{},=:@|*]*)\s*(?=[,)])""")
_STRING = r'"(?:[^"\\]|\\.)*"'
_QUOTED = re.compile(rf"(.+?):\s*((?:{_STRING}|\d+)(?:\s*,\s*(?:{_STRING}|\d+))*)", re.DOTALL)
_PLACE = r"\d+(?:\s*,\s*\d+)*"
_PLACES = rf"{_PLACE}(?:\s*;\s*{_PLACE})*"
_LIST = rf"\(\s*{_PLACES}\s*\)"
PLACES = re.compile(rf"(.+)@\s*(cent(?:re|er)|{_PLACES}|{_LIST}(?:\s*;\s*{_LIST})*)", re.DOTALL)


def parse(text: str) -> Objective:
    """Return the objective that a string names; nothing is looked up in a network yet (`Objective.bind` does that).

    Raises
    ------
    ObjectiveError
        For a string that does not follow the grammar, or an unknown name.

    Examples
    --------
    >>> parse("conv4:7")
    Channel(layer='conv4', unit=7)
    >>> parse("conv4:7@3,5")
    Neuron(layer='conv4', unit=7, y=3, x=5, place=None)
    >>> print(parse("fc8:tabby cat") - 0.5 * parse("fc8:3"))
    fc8:tabby cat - 0.5*fc8:3
    """
    return _parse(check_string(text, "the target", ObjectiveError), 0)


def as_objective(objective: Objective | str | Sequence[Objective | str]) -> Objective:
    """Return an objective, that of a string, or one objective per sample for a sequence of these.

    Raises
    ------
    ObjectiveError
        For anything else.

    Examples
    --------
    >>> print(as_objective(["conv4:7", "fc8:3"]))
    conv4:7 | fc8:3
    """
    if isinstance(objective, Sequence) and not isinstance(objective, str):
        return each([as_objective(part) for part in objective])
    parsed = parse(objective) if isinstance(objective, str) else objective
    if not isinstance(parsed, Objective):
        raise ObjectiveError(f"{parsed!r} is no objective; give one of dreamopt.objectives, or its string")
    return parsed


def _parse(text: str, depth: int) -> Objective:
    return each([_sum(part, text, depth) for part in split(text, "|")])


def _sum(text: str, whole: str, depth: int) -> Objective:
    parts = [_term(part, whole, depth) for part in signed_terms(text, ObjectiveError)]
    return parts[0] if len(parts) == 1 else sum(parts[1:], parts[0])


def _term(text: str, whole: str, depth: int) -> Objective:
    text, depth = text.strip(), depth + 1
    if depth > DEEPEST:
        raise ObjectiveError(f"the target's signs, factors and brackets are nested deeper than {DEEPEST}")
    if not text:
        raise ObjectiveError(f"a term is missing in the target '{whole}'")
    if text.startswith("-"):
        return -_term(text[1:], whole, depth)
    if found := NUMBER.fullmatch(text):
        return float(found[1]) * _term(found[2], whole, depth)
    if found := _DIVIDED.fullmatch(text):
        return _term(found[1], whole, depth) / float(found[2])
    if text.startswith("(") and closing(text) == len(text) - 1:
        return _parse(text[1:-1], depth)
    if (call := CALL.fullmatch(text)) and closing(call[2]) == len(call[2]) - 1:
        return make_part(call[1], _with_quoted_layer(call[2]), objectives)
    return _unit(text)


def _with_quoted_layer(arguments: str) -> str:
    """Return the parameters of a call, in brackets, with a layer's name that is the first of them in quotes.

    >>> _with_quoted_layer("(fire5/concat, 5)"), _with_quoted_layer("(7, 5)"), _with_quoted_layer("(layer='a')")
    ('("fire5/concat", 5)', '(7, 5)', "(layer='a')")
    """
    bare = _BARE_FIRST.match(arguments)
    if bare is None or bare[1] in ("None", "True", "False"):
        return arguments
    return f"({json.dumps(bare[1])}{arguments[bare.end(1) :]}"


def _unit(text: str) -> Objective:
    body, place = (found[1], found[2]) if (found := PLACES.fullmatch(text)) else (text, None)
    if found := _QUOTED.fullmatch(body):
        layer, units = found[1], [_quoted_unit(u) for u in re.findall(rf"{_STRING}|\d+", found[2])]
    else:
        if place is None and BARE_LAYER.fullmatch(body):
            return _make("Energy", body)
        layer, colon, unit = body.rpartition(":")
        if not (colon and layer.strip() and unit.strip()):
            raise ObjectiveError(
                f"target '{text}' must be LAYER:UNIT, for instance 'conv4:7', 'conv4:7@3,5' or 'fc8:tabby cat', or a LAYER alone"
            )
        # A negative number is a number out of range, and no label.
        units = [_number(unit) if re.fullmatch(r"\s*-\d+\s*", unit) else unit.strip()]
    return unit_objective(layer.strip(), tuple(units), place)


def unit_objective(layer: str, units: tuple[int | str, ...], place: str | None = None) -> Objective:
    """Return the objective of units of a layer: of a channel or class, or with a place (what stands after the ``@``) of neurons.

    >>> unit_objective("conv4", (7,)), unit_objective("conv4", (7,), "3,5")
    (Channel(layer='conv4', unit=7), Neuron(layer='conv4', unit=7, y=3, x=5, place=None))
    """
    units_given = units[0] if len(units) == 1 else units
    if place is None:
        return _make("ClassScore", layer, units_given) if any(isinstance(u, str) for u in units) else _make("Channel", layer, units_given)
    if place.startswith("cent"):
        return _make("Neuron", layer, units_given)
    if place.startswith("("):
        lists = tuple(_places(group) for group in re.findall(r"\(([^)]*)\)", place))
        return _make("Places", layer, units_given, lists[0] if len(lists) == 1 else lists)
    places = _places(place)
    if any(len(one) != 2 for one in places):
        return _make("Neuron", layer, units_given, None, None, places[0] if len(places) == 1 else places)
    ys, xs = zip(*places, strict=True)
    return _make("Neuron", layer, units_given, ys[0], xs[0]) if len(places) == 1 else _make("Neuron", layer, units_given, ys, xs)


def _places(text: str) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(_number(v) for v in place.split(",")) for place in text.split(";"))


def _quoted_unit(text: str) -> int | str:
    """Return a unit's number, or a name in double quotes, written as in JSON."""
    if not text.startswith('"'):
        return _number(text)
    try:
        name: str = json.loads(text, strict=False)
    except ValueError as problem:
        raise ObjectiveError(f"the name {text} is none: {problem}") from problem
    return name


def _number(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ObjectiveError(f"a unit or a place has a number of {len(text)} digits, and at most {MOST_DIGITS} are read")
    return int(text)


def _make(name: str, *parameters: Any) -> Objective:
    return objectives.get(name).make(*parameters)
