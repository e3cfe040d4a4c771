"""Call strings: ``NAME`` or ``NAME(PARAMETERS)`` with Python literals, schedules, and parts within parts.

Any registry's parts are read here; what is special to objectives and to regularizers stands in their ``strings`` modules.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dreamopt.errors import DreamoptError
from dreamopt.parts.registry import Registry, snake
from dreamopt.parts.schedule import SCHEDULES
from dreamopt.parts.trust import permitted_arguments

T = TypeVar("T")

NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\*\s*(.+)", re.DOTALL)
"""A number times a term."""
CALL = re.compile(r"([^\W\d]\w*)\s*(\(.*\))", re.DOTALL)
"""A name and its parameters in brackets."""


def parse_part(text: str, registry: Registry[T]) -> T:
    """Return the part that a string names: ``NAME`` or ``NAME(PARAMETERS)``; parts within it are of the same registry.

    Raises
    ------
    DreamoptError
        The registry's own kind, for a string that does not follow the grammar, an unknown name, or parameters that do not fit.
    """
    text = text.strip()
    call = CALL.fullmatch(text) or CALL.fullmatch(text + "()")
    if call is None or closing(call[2]) != len(call[2]) - 1:
        raise registry.error(f"{registry.kind} '{text}' must be NAME or NAME(PARAMETERS), for instance '{registry.names()[0]}()'")
    return make_part(call[1], call[2], registry)


def make_part(name: str, arguments: str, registry: Registry[T]) -> T:
    """Return the part of a name, made with the parameters of a string in brackets."""
    make, error = registry.get(name).make, registry.error
    try:
        call = ast.parse(f"f{arguments}", mode="eval").body
        if not isinstance(call, ast.Call) or any(keyword.arg is None for keyword in call.keywords):
            raise ValueError("parameters are given one by one")
        given = [_value(node, (registry,)) for node in call.args]
        named = {str(keyword.arg): _value(keyword.value, (registry,)) for keyword in call.keywords}
    except (SyntaxError, ValueError) as problem:
        if "<image " in arguments:
            raise error(f"'{name}{arguments}' names an image that was only in memory; save it, and give its file's path") from problem
        raise error(f"the parameters of '{name}{arguments}' must be Python literals or schedules: {problem}") from problem
    try:
        given, named = permitted_arguments(make, given, named)
        return make(*given, **named)
    except DreamoptError:
        raise
    except (TypeError, ValueError) as problem:
        raise error(f"'{name}{arguments}' does not fit: {problem}") from problem


def parse_value(text: str, registries: Sequence[Registry[Any]] = ()) -> Any:
    """Return a parameter's value: a Python literal, a schedule, a part of these registries; anything else is the text itself.

    >>> parse_value("0.5"), parse_value("Linear(2, 1)"), parse_value("photo.jpg")
    (0.5, Linear(start=2, end=1, inclusive=False), 'photo.jpg')
    """
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, registries)
    except (SyntaxError, ValueError):
        return text.strip()


def _value(node: ast.expr, registries: Sequence[Registry[Any]]) -> Any:
    """Return a parameter: a Python literal, a schedule, or a part within a part, as in ``alpha(fourier(noise=2))``."""
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_value(element, registries) for element in node.elts)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        try:
            return ast.literal_eval(node)
        except ValueError:
            # Python's own words name an object in memory.
            raise ValueError(f"{ast.unparse(node)} is neither") from None
    name, schedules = node.func.id, {schedule.__name__: schedule for schedule in SCHEDULES}
    registry = next((r for r in registries if snake(name) in r.names()), None)
    if name not in schedules and registry is None:
        raise ValueError(f"there is no schedule {name}; there are {', '.join(schedules)}")
    make: Callable[..., Any] = schedules[name] if registry is None else registry.get(name).make
    arguments = [_value(argument, registries) for argument in node.args]
    named = {str(k.arg): _value(k.value, registries) for k in node.keywords}
    arguments, named = permitted_arguments(make, arguments, named)
    return make(*arguments, **named)


def split(text: str, sign: str) -> list[str]:
    """Split at ``sign`` where it stands outside brackets and quotes; ``+`` and ``-`` only between spaces.

    >>> split('conv1-relu:3 - fc8:"a - b"', "-")
    ['conv1-relu:3', 'fc8:"a - b"']
    """
    parts, depth, start, quoted = [], 0, 0, False
    for i, c in enumerate(text):
        if c == '"' and (quoted or text[:i].rstrip()[-1:] in ("", ":", ",", "(", "=")):
            quoted = not (quoted and text[i - 1] != "\\")
        if quoted:
            continue
        depth += (c in "([") - (c in ")]")
        if c == sign and depth == 0 and (sign == "|" or (text[i - 1 : i] == " " and text[i + 1 : i + 2] == " ")):
            parts.append(text[start:i].strip())
            start = i + 1
    return [*parts, text[start:].strip()]


def signed_terms(text: str) -> list[str]:
    """Split at the top-level ``+`` and ``-``; a part after ``-`` starts with it."""
    parts = []
    for plus in split(text, "+"):
        first, *others = split(plus, "-")
        parts += [first, *("-" + part for part in others)]
    return parts


def closing(text: str) -> int:
    """Return where the bracket that opens ``text`` closes, -1 if nowhere."""
    depth, quoted = 0, False
    for i, c in enumerate(text):
        if c == '"' and text[i - 1 : i] != "\\":
            quoted = not quoted
        if not quoted:
            depth += (c == "(") - (c == ")")
            if depth == 0:
                return i
    return -1
