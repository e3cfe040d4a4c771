"""Call strings: ``NAME`` or ``NAME(PARAMETERS)`` with Python literals, schedules, and parts within parts.

Any registry's parts are read here; what is special to objectives and to regularizers stands in their ``strings`` modules.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeVar

from dreamopt.errors import DreamoptError, printable
from dreamopt.parts.registry import Registry, snake
from dreamopt.parts.schedule import SCHEDULES
from dreamopt.parts.trust import permitted_arguments

T = TypeVar("T")

LONGEST = 2**19
"""Characters of the longest string; a direction of 4,096 numbers has 100,000."""
DEEPEST = 64
"""The deepest nesting of brackets, signs and factors in one."""
MOST_TERMS = 1000
"""The most terms of a sum."""
_UNREADABLE = (SyntaxError, ValueError, RecursionError)
NUMBER = re.compile(r"([+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?)\s*+\*\s*+(.+)", re.DOTALL)
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
        call = _expression(f"f{arguments}")
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError("one pair of brackets is expected")
        given, named = _parameters(call, (registry,))
    except _UNREADABLE as problem:
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
        return _value(_expression(text.strip()), registries)
    except _UNREADABLE:
        return text.strip()


def check_string(text: str, what: str, error: type[DreamoptError]) -> str:
    """Return a string of parts, if it is no longer than `LONGEST` and its brackets are nested no deeper than `DEEPEST`.

    Raises
    ------
    DreamoptError
        Of the type ``error``.

    Examples
    --------
    >>> from dreamopt.errors import UsageError
    >>> check_string("(" * 100 + ")" * 100, "the target", UsageError)
    Traceback (most recent call last):
    dreamopt.errors.UsageError: the target is nested deeper than 64
    """
    if len(text) > LONGEST:
        raise error(f"{what} has {len(text)} characters, and at most {LONGEST} are read")
    if any(depth > DEEPEST for depth in accumulate((c in "([{") - (c in ")]}") for c in text if c in "()[]{}")):
        raise error(f"{what} is nested deeper than {DEEPEST}")
    return text


def signed_terms(text: str, error: type[DreamoptError]) -> list[str]:
    """Split at the top-level ``+`` and ``-``; a part after ``-`` starts with it.

    Raises
    ------
    DreamoptError
        Of the type ``error``, for more than `MOST_TERMS`.
    """
    parts = []
    for plus in split(text, "+"):
        first, *others = split(plus, "-")
        parts += [first, *("-" + part for part in others)]
    if len(parts) > MOST_TERMS:
        raise error(f"a sum has {len(parts)} terms, and at most {MOST_TERMS} are read")
    return parts


def _expression(text: str) -> ast.expr:
    """Return the tree of an expression of Python; ValueError for what is too long or too deep."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, of a backslash in a string that it leaves as it is
            return ast.parse(check_string(text, "it", DreamoptError), mode="eval").body
    except DreamoptError as problem:
        raise ValueError(str(problem)) from None
    except (RecursionError, MemoryError):  # signs and attributes nest without brackets; the second is the parser's stack, not memory
        raise ValueError(f"it is nested deeper than {DEEPEST}") from None


def _parameters(call: ast.Call, registries: Sequence[Registry[Any]]) -> tuple[list[Any], dict[str, Any]]:
    """Return what stands in a call's brackets, in order and by name."""
    if any(isinstance(node, ast.Starred) for node in call.args) or any(keyword.arg is None for keyword in call.keywords):
        raise ValueError("parameters are given one by one")
    return [_value(node, registries) for node in call.args], {str(k.arg): _value(k.value, registries) for k in call.keywords}


def _value(node: ast.expr, registries: Sequence[Registry[Any]]) -> Any:
    """Return a parameter: a Python literal, a schedule, or a part within a part, as in ``alpha(fourier(noise=2))`` or ``alpha(pixels)``."""
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_value(element, registries) for element in node.elts)
    if isinstance(node, ast.Name) and any(snake(node.id) in registry.names() for registry in registries):
        node = ast.Call(node, [], [])
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return _literal(node)
    name, schedules = node.func.id, {schedule.__name__: schedule for schedule in SCHEDULES}
    registry = next((r for r in registries if snake(name) in r.names()), None)
    if name not in schedules and registry is None:
        raise ValueError(f"there is no schedule {name}; there are {', '.join(schedules)}")
    make: Callable[..., Any] = schedules[name] if registry is None else registry.get(name).make
    arguments, named = _parameters(node, registries)
    try:
        arguments, named = permitted_arguments(make, arguments, named)
        return make(*arguments, **named)
    except TypeError as problem:
        raise ValueError(f"{name} does not fit: {problem}") from None


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):  # TypeError: a list as a key
        try:
            text = ast.unparse(node)
        except (RecursionError, MemoryError, ValueError):
            raise ValueError(f"it is nested deeper than {DEEPEST}") from None
        # Python's own words name an object in memory.
        raise ValueError(f"{printable(text, 80)} is neither") from None


def split(text: str, sign: str) -> list[str]:
    """Split at ``sign`` where it stands outside brackets and quotes; ``+`` and ``-`` only between spaces, ``|`` and ``,`` anywhere.

    >>> split('conv1-relu:3 - fc8:"a - b"', "-")
    ['conv1-relu:3', 'fc8:"a - b"']
    >>> split('conv1, conv2:7, Guide("conv3", "a,b.png")', ",")
    ['conv1', 'conv2:7', 'Guide("conv3", "a,b.png")']
    """
    parts, depth, start, quoted, before = [], 0, 0, False, ""  # before: the last character that is no space
    for i, c in enumerate(text):
        if c == '"' and (quoted or before in ("", ":", ",", "(", "=")):
            quoted = not (quoted and text[i - 1] != "\\")
        before = c if not c.isspace() else before
        if quoted:
            continue
        depth += (c in "([") - (c in ")]")
        if c == sign and depth == 0 and (sign in "|," or (text[i - 1 : i] == " " and text[i + 1 : i + 2] == " ")):
            parts.append(text[start:i].strip())
            start = i + 1
    return [*parts, text[start:].strip()]


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
