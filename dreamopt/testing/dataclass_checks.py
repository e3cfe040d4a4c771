"""What every part holds, of whatever kind: immutable, printed and read back, picklable, numbers checked."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import pickle
import types
import typing
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from dreamopt.errors import DreamoptError
from dreamopt.parts.part import literal
from dreamopt.parts.schedule import Schedule
from dreamopt.testing.bench import Bench
from dreamopt.testing.kind import Check, require, require_error


def is_immutable(part: Any, bench: Bench) -> None:
    """Require that a part cannot be changed, and is equal to its copies, with the same hash."""
    names = [field.name for field in dataclasses.fields(part)]
    if names:
        require_error(lambda: setattr(part, names[0], 3), dataclasses.FrozenInstanceError, f"setting {names[0]}")
    for other in (replaced(part), copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        require(other == part, "a copy is not equal to it")
        require(hash(other) == hash(part), "a copy has another hash")


def prints_what_makes_it(parse: Callable[[str], Any]) -> Check:
    """Return the check that a part's string makes an equal part."""

    def prints_and_is_read_back(part: Any, bench: Bench) -> None:
        """Require that printing a part gives a string that makes an equal part."""
        text = str(part)
        again = parse(text)
        require(again == part and type(again) is type(part), f"{text} makes another part, {again}")
        require(str(again) == text, f"{text} is printed again as {again}")
        require(hash(again) == hash(part), f"{text} makes a part of another hash")

    return prints_and_is_read_back


def refuses_numbers_that_are_none(part: Any, bench: Bench) -> None:
    """Require that a part refuses numbers that are not finite or far beyond use, other types, and parts of what is counted."""
    for field, wrong in wrong_numbers(part):
        require_error(partial(replaced, part, **{field: wrong}), DreamoptError, f"{field}={_shown(wrong)}")


def replaced(part: Any, /, **changes: Any) -> Any:
    """Return a part with other values of some fields, as `dataclasses.replace`; also one whose class has an ``__init__`` of its own."""
    values = {field.name: getattr(part, field.name) for field in dataclasses.fields(part) if field.init}
    for name, parameter in inspect.signature(type(part)).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            values |= dict(values.pop(name, ()))
    return type(part)(**(values | changes))


WRONG = (math.nan, math.inf, -math.inf, 1e300, -(10**400), object())
"""What no number may be."""


def wrong_numbers(part: Any) -> Iterator[tuple[str, object]]:
    """Yield a part's numeric fields, each with values that it must not take; in a tuple of numbers each one is replaced.

    A field is numeric by its value (a number, a schedule, a tuple of numbers), or by its annotation where it is None.
    """
    try:
        hints = typing.get_type_hints(type(part))
    except NameError:  # a name that is imported for type checkers alone
        hints = {}
    parameters = inspect.signature(type(part)).parameters
    for field in dataclasses.fields(part):
        if not field.init or field.name not in parameters or parameters[field.name].kind is inspect.Parameter.VAR_KEYWORD:
            continue
        value, allowed = getattr(part, field.name), list(_types(hints.get(field.name, object)))
        if _is_number(value) or isinstance(value, Schedule) or (value is None and (int in allowed or float in allowed)):
            yield from ((field.name, wrong) for wrong in WRONG)
            if int in allowed and float not in allowed:
                yield field.name, 1.5
        elif isinstance(value, tuple) and value and all(map(_is_number, value)):
            yield from ((field.name, (*value[:k], wrong, *value[k + 1 :])) for k in range(len(value)) for wrong in WRONG)
        elif value is None and any(typing.get_origin(hint) is tuple and float in typing.get_args(hint) for hint in allowed):
            yield from ((field.name, (wrong, 1.0)) for wrong in WRONG)


def _shown(value: object) -> str:
    return "-10**400" if isinstance(value, int) and value < -(10**300) else literal(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _types(hint: Any) -> Iterator[Any]:
    """Yield the types of a union, one by one."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for argument in typing.get_args(hint):
            yield from _types(argument)
    else:
        yield hint
