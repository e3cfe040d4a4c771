r"""Strings that name objectives and regularizers; printing one gives a string that makes it again.

Objectives, from the loosest to the tightest binding::

    conv4:7 | fc8:3            item 0 climbs the one, item 1 the other
    0.5*conv4:7 - fc8:3        sums; + and - stand between spaces, since layer names may hold them
    2*(conv4:7 + fc8:3)        a number times one term, or times a sum in brackets
    conv4:7                    channel 7 of conv4 (on a flat layer, unit 7)
    conv4:7,9                  channel 7 for item 0, channel 9 for item 1
    conv4:7@3,5                the neuron in row 3, column 5; conv4:7,9@3,5;4,4 gives each item its own place
    conv4:7@centre             the neuron in the middle
    conv4:7@(3,5;4,4)          the mean of several neurons; conv4:7,9@(3,5;4,4);(1,1) gives each item its own list
    inception_4c/output        a layer alone: its energy, DeepDream's objective
    conv4:7 / 3                a term divided by a number; / stands between spaces, too
    fc8:tabby cat              the class of that name
    fc8:"7","a | b"            names in double quotes, for a list of them or for one with special signs
    Name("conv4", power=2)     any objective by name, with Python literals

The layer ends at the last colon before the unit, so that layer names may hold ``/`` and ``:``. A regularizer is
``Name(...)`` or ``name(...)``, for instance ``total_variation(0.1, beta=1.5)``; ``+`` and ``0.5*`` work for penalties, and
a schedule is written ``Linear(2.5, 0.5)`` in the place of a number.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

from dreamopt.errors import DreamoptError, ObjectiveError, RegularizerError
from dreamopt.image.parametrization import Parametrization
from dreamopt.image.transform import Transform
from dreamopt.objective import BARE_LAYER, Objective, each
from dreamopt.objectives import Channel, ClassScore, Energy, Neuron, Places
from dreamopt.optimizer import Optimizer
from dreamopt.registry import Registry, objectives, optimizers, parametrizations, regularizers, snake, transform_sets, transforms
from dreamopt.regularizer import Penalty, Regularizer
from dreamopt.schedule import SCHEDULES

T = TypeVar("T")

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\*\s*(.+)", re.DOTALL)
_DIVIDED = re.compile(r"(.+)\s/\s+([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.DOTALL)
_CALL = re.compile(r"([^\W\d]\w*)\s*(\(.*\))", re.DOTALL)
_STRING = r'"(?:[^"\\]|\\.)*"'
_QUOTED = re.compile(rf"(.+?):\s*((?:{_STRING}|\d+)(?:\s*,\s*(?:{_STRING}|\d+))*)", re.DOTALL)
_PAIRS = r"\d+\s*,\s*\d+(?:\s*;\s*\d+\s*,\s*\d+)*"
_LIST = rf"\(\s*{_PAIRS}\s*\)"
_PLACES = re.compile(rf"(.+)@\s*(cent(?:re|er)|{_PAIRS}|{_LIST}(?:\s*;\s*{_LIST})*)", re.DOTALL)


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
    Neuron(layer='conv4', unit=7, y=3, x=5)
    >>> print(parse("fc8:tabby cat") - 0.5 * parse("fc8:3"))
    fc8:tabby cat - 0.5*fc8:3
    """
    return each([_sum(part, text) for part in split(text, "|")])


def _sum(text: str, whole: str) -> Objective:
    parts = [_term(part, whole) for part in _signed(text)]
    return parts[0] if len(parts) == 1 else sum(parts[1:], parts[0])


def _signed(text: str) -> list[str]:
    """Split at the top-level ``+`` and ``-``; a part after ``-`` starts with it."""
    parts = []
    for plus in split(text, "+"):
        first, *others = split(plus, "-")
        parts += [first, *("-" + part for part in others)]
    return parts


def _term(text: str, whole: str) -> Objective:
    text = text.strip()
    if not text:
        raise ObjectiveError(f"a term is missing in the target '{whole}'")
    if text.startswith("-"):
        return -_term(text[1:], whole)
    if found := _NUMBER.fullmatch(text):
        return float(found[1]) * _term(found[2], whole)
    if found := _DIVIDED.fullmatch(text):
        return _term(found[1], whole) / float(found[2])
    if text.startswith("(") and _closing(text) == len(text) - 1:
        return parse(text[1:-1])
    if (call := _CALL.fullmatch(text)) and _closing(call[2]) == len(call[2]) - 1:
        return _make(call[1], call[2], objectives.get(call[1]).make, ObjectiveError)
    return _unit(text)


def _unit(text: str) -> Objective:
    body, place = (found[1], found[2]) if (found := _PLACES.fullmatch(text)) else (text, None)
    if found := _QUOTED.fullmatch(body):
        layer, units = found[1], [json.loads(u) for u in re.findall(rf"{_STRING}|\d+", found[2])]
    else:
        if place is None and BARE_LAYER.fullmatch(body):
            return Energy(body)
        layer, colon, unit = body.rpartition(":")
        if not (colon and layer.strip() and unit.strip()):
            raise ObjectiveError(
                f"target '{text}' must be LAYER:UNIT, for instance 'conv4:7', 'conv4:7@3,5' or 'fc8:tabby cat', or a LAYER alone"
            )
        # A negative number is a number out of range, and no label.
        units = [int(unit) if re.fullmatch(r"\s*-\d+\s*", unit) else unit.strip()]
    layer = layer.strip()
    chosen = units[0] if len(units) == 1 else tuple(units)
    if place is None:
        return ClassScore(layer, chosen) if any(isinstance(u, str) for u in units) else Channel(layer, chosen)
    if place.startswith("cent"):
        return Neuron(layer, chosen)
    if place.startswith("("):
        lists = tuple(_pairs(group) for group in re.findall(r"\(([^)]*)\)", place))
        return Places(layer, chosen, lists[0] if len(lists) == 1 else lists)
    pairs = _pairs(place)
    ys, xs = zip(*pairs, strict=True)
    return Neuron(layer, chosen, ys[0], xs[0]) if len(pairs) == 1 else Neuron(layer, chosen, ys, xs)


def _pairs(text: str) -> tuple[tuple[int, int], ...]:
    numbers = [[int(v) for v in pair.split(",")] for pair in text.split(";")]
    return tuple((y, x) for y, x in numbers)


def parse_regularizer(text: str) -> Regularizer:
    """Return the regularizer that a string names.

    Raises
    ------
    RegularizerError
        For a string that does not follow the grammar, or an unknown name.

    Examples
    --------
    >>> print(parse_regularizer("total_variation(0.1, beta=1.5)"))
    TotalVariation(0.1, beta=1.5)
    >>> print(parse_regularizer("gaussian_blur(Linear(2.5, 0.5), every=4)"))
    GaussianBlur(Linear(2.5, 0.5), every=4)
    """
    parts = [_penalty(part.strip(), text) for part in _signed(text)]
    if len(parts) == 1:
        return parts[0]
    penalties = [part for part in parts if isinstance(part, Penalty)]
    if len(penalties) < len(parts):
        raise RegularizerError(f"only penalties can be added, but '{text}' adds a projection; give the regularizers one by one")
    return sum(penalties[1:], penalties[0])


def _penalty(text: str, whole: str) -> Regularizer:
    factor = 1.0
    if text.startswith("-"):
        factor, text = -1.0, text[1:].strip()
    if found := _NUMBER.fullmatch(text):
        factor, text = factor * float(found[1]), found[2].strip()
    if text.startswith("(") and _closing(text) == len(text) - 1:
        made = parse_regularizer(text[1:-1])
    else:
        call = _CALL.fullmatch(text) or _CALL.fullmatch(text + "()")
        if call is None:
            raise RegularizerError(f"regularizer '{whole}' must be NAME(PARAMETERS), for instance 'total_variation(0.1)'")
        made = _make(call[1], call[2], regularizers.get(call[1]).make, RegularizerError)
    if factor == 1.0:
        return made
    if not isinstance(made, Penalty):
        raise RegularizerError(f"only a penalty can be multiplied by a number, which {made} is not")
    return factor * made


def parse_optimizer(text: str) -> Optimizer:
    """Return the optimizer that a string names: ``NAME`` or ``NAME(PARAMETERS)``.

    Raises
    ------
    UsageError
        For a string that does not follow the grammar, or an unknown name.

    Examples
    --------
    >>> print(parse_optimizer("adam(Linear(3, 1))"))
    Adam(step_size=Linear(3, 1))
    """
    return _named(text, optimizers)


def parse_parametrization(text: str) -> Parametrization:
    """Return the parametrization that a string names: ``NAME`` or ``NAME(PARAMETERS)``.

    >>> print(parse_parametrization("fourier(noise=2)"))
    Fourier(noise=2)
    """
    return _named(text, parametrizations)


def parse_transforms(text: str) -> list[Transform]:
    """Return the transforms that a string names: ``NAME``, ``NAME(PARAMETERS)``, or the name of a set, as ``lucid``.

    >>> [str(one) for one in parse_transforms("jitter(4)")]
    ['Jitter(pixels=4)']
    """
    sets = transform_sets()
    if text.strip() in sets:
        return [one for member in sets[text.strip()] for one in parse_transforms(member)]
    return [_named(text, transforms)]


def _named(text: str, registry: Registry[T]) -> T:
    text = text.strip()
    call = _CALL.fullmatch(text) or _CALL.fullmatch(text + "()")
    if call is None or _closing(call[2]) != len(call[2]) - 1:
        raise registry.error(f"{registry.kind} '{text}' must be NAME or NAME(PARAMETERS), for instance '{registry.names()[0]}()'")
    return _make(call[1], call[2], registry.get(call[1]).make, registry.error)


def _make(name: str, arguments: str, make: Callable[..., T], error: type[DreamoptError]) -> T:
    try:
        call = ast.parse(f"f{arguments}", mode="eval").body
        if not isinstance(call, ast.Call) or any(keyword.arg is None for keyword in call.keywords):
            raise ValueError("parameters are given one by one")
        given = [_value(node) for node in call.args]
        named = {str(keyword.arg): _value(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError) as problem:
        if "<picture " in arguments:
            raise error(f"'{name}{arguments}' names a picture that was only in memory; save it, and give its file's path") from problem
        raise error(f"the parameters of '{name}{arguments}' must be Python literals or schedules: {problem}") from problem
    try:
        return make(*given, **named)
    except DreamoptError:
        raise
    except (TypeError, ValueError) as problem:
        raise error(f"'{name}{arguments}' does not fit: {problem}") from problem


def parse_value(text: str) -> Any:
    """Return a parameter's value: a Python literal, a schedule, a part; anything else is the text itself.

    >>> parse_value("0.5"), parse_value("Linear(2, 1)"), parse_value("photo.jpg")
    (0.5, Linear(start=2, end=1, inclusive=False), 'photo.jpg')
    """
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError):
        return text.strip()


def _value(node: ast.expr) -> Any:
    """Return a parameter: a Python literal, a schedule, or a part within a part, as in ``alpha(fourier(noise=2))``."""
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_value(one) for one in node.elts)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return ast.literal_eval(node)
    name, known = node.func.id, {c.__name__: c for c in SCHEDULES}
    registry = next((r for r in (parametrizations, transforms, optimizers, regularizers) if snake(name) in r.names()), None)
    if name not in known and registry is None:
        raise ValueError(f"there is no schedule {name}; there are {', '.join(known)}")
    make: Callable[..., Any] = known[name] if registry is None else registry.get(name).make
    return make(*map(_value, node.args), **{str(k.arg): _value(k.value) for k in node.keywords})


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


def _closing(text: str) -> int:
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
