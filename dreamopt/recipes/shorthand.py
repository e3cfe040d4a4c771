"""The short options (``tv``, ``l2``, ``decay``, ``blur``, ``jitter``, ``lr``, ``noise``): numbers that make or replace parts.

This is the one place that knows them; behind it there are parts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dreamopt.backends.base import BackwardRule, parse_rules
from dreamopt.errors import UsageError
from dreamopt.image import Jitter
from dreamopt.image.parametrization import Parametrization, parse_parametrization
from dreamopt.image.parametrizations.fourier import Fourier
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.image.transform import Transform, parse_transforms
from dreamopt.optimize import Adam, Ascent
from dreamopt.optimize.optimizer import Optimizer, parse_optimizer
from dreamopt.parts.checks import FRACTION, NOT_NEGATIVE, PIXELS, POSITIVE, Range, check_number, check_whole
from dreamopt.parts.part import field_names
from dreamopt.parts.schedule import Linear
from dreamopt.regularizer import Regularizer, parse_regularizer
from dreamopt.regularizers import L2, Decay, GaussianBlur, TotalVariation

OPTIMIZERS: Mapping[str, Callable[[], Optimizer]] = {"adam": lambda: Adam(Linear(32, 1), beta1=0.5), "ascent": lambda: Ascent(2)}
"""What these plain names stand for in settings; grey levels per step. How Adam's were chosen: docs/bench.md."""
PARAMETRIZATIONS: Mapping[str, Callable[[], Parametrization]] = {"fourier": lambda: Fourier(noise=4), "pixels": lambda: Pixels(noise=10)}
"""What these plain names stand for in settings; grey levels of noise at the start."""
NO_RULE = "none"
"""What stands for no backward rule."""
RANGES: Mapping[str, Range] = {
    "tv": NOT_NEGATIVE,
    "l2": NOT_NEGATIVE,
    "decay": FRACTION,
    "blur": NOT_NEGATIVE,
    "jitter": PIXELS,
    "lr": POSITIVE,
    "noise": NOT_NEGATIVE,
}
"""The short options and the numbers that they take."""
REGULARIZERS: Mapping[str, tuple[type[Regularizer], Callable[[float], dict[str, Any]]]] = {
    "tv": (TotalVariation, lambda weight: {"weight": weight}),
    "l2": (L2, lambda weight: {"weight": weight}),
    "decay": (Decay, lambda rate: {"rate": rate}),
    "blur": (GaussianBlur, lambda sigma: {"sigma": Linear(sigma, sigma / 5)}),
}
"""The part of each option in the order in which they stand, and the fields that its number gives."""
BLUR_EVERY = 4
"""After how many steps the blur of ``blur`` acts."""


@dataclass(frozen=True)
class Listed:
    """Regularizers or transforms: first those that short options and assignments made, then those that were listed."""

    parts: tuple[Any, ...] = ()
    short: int = 0
    """How many are of short options."""

    def with_listed(self, parts: tuple[Any, ...]) -> Listed:
        """Return these with other listed ones."""
        return Listed((*self.parts[: self.short], *parts), self.short)


def with_regularizer(listed: Listed, option: str, value: float) -> Listed:
    """Return regularizers in which the part of an option has this number; 0 takes it away."""
    kind, numbers = REGULARIZERS[option]
    short, rest = list(listed.parts[: listed.short]), listed.parts[listed.short :]
    place = next((place for place, part in enumerate(short) if type(part) is kind), None)
    if place is not None and value:
        short[place] = replace(short[place], **numbers(value))
    elif place is not None:
        del short[place]
    elif value:
        part = kind(**numbers(value) | ({"every": BLUR_EVERY} if kind is GaussianBlur else {}))
        short.insert(place_of(short, kind), part)
    return Listed((*short, *rest), len(short))


def place_of(short: list[Any], kind: type) -> int:
    """Return where a regularizer stands among those of short options, whichever came first."""
    order = [of_option for of_option, _ in REGULARIZERS.values()]
    rank = order.index(kind) if kind in order else len(order)
    return sum(type(part) in order and order.index(type(part)) < rank for part in short)


def with_added(listed: Listed, part: Any) -> Listed:
    """Return the parts with one more: where a short option would put it, or at the end."""
    kinds = {of_option for of_option, _ in REGULARIZERS.values()} | {Jitter}
    if type(part) not in kinds:
        return replace(listed, parts=(*listed.parts, part))
    short, rest = list(listed.parts[: listed.short]), listed.parts[listed.short :]
    short.insert(place_of(short, type(part)), part)
    return Listed((*short, *rest), len(short))


def with_jitter(listed: Listed, pixels: int) -> Listed:
    """Return transforms that begin with a jitter of so many pixels; 0 for none."""
    rest = listed.parts[listed.short :]
    return Listed((Jitter(pixels), *rest), 1) if pixels else Listed(rest)


def with_number(part: Any, field: str, value: float, option: str) -> Any:
    """Return a part with another number in a field, which it must have."""
    names = field_names(part)
    if field not in names:
        raise UsageError(f"{option} was given, but {part} has no {field}; it has {', '.join(names) or 'nothing'}")
    return part.replaced(**{field: value})


def checked_numbers(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the short options' numbers, each in its range; 4.0 as 4, so that a number is written in one way."""
    numbers = {name: value for name, value in numbers.items() if value is not None}
    checked = {name: check_number(name, value, RANGES[name]) for name, value in numbers.items()}
    checked |= {name: check_whole(name, value, RANGES[name]) for name, value in numbers.items() if name == "jitter"}
    return {name: int(value) if value == int(value) else value for name, value in checked.items()}


def as_optimizer(value: Optimizer | str) -> Optimizer:
    """Return an optimizer, or the one that a string names."""
    if isinstance(value, str):
        value = OPTIMIZERS[value.strip()]() if value.strip() in OPTIMIZERS else parse_optimizer(value)
    optimizer: Optimizer = _of(Optimizer, value, "optimizer")
    return optimizer


def as_parametrization(value: Parametrization | str) -> Parametrization:
    """Return a parametrization, or the one that a string names."""
    if isinstance(value, str):
        name = value.strip()
        value = PARAMETRIZATIONS[name]() if name in PARAMETRIZATIONS else parse_parametrization(value)
    parametrization: Parametrization = _of(Parametrization, value, "parametrization")
    return parametrization


def as_rule(value: BackwardRule | str | Sequence[BackwardRule | str] | None) -> BackwardRule | None:
    """Return backward rules, or those that strings name; None for "none"."""
    if value is None or (isinstance(value, str) and value.strip() == NO_RULE):
        return None
    return parse_rules(value)


def as_transforms(values: Any) -> tuple[Transform, ...]:
    """Return transforms, or those that strings name, each string one or a set."""
    read: list[Transform] = []
    for value in _several(values, Transform, "transforms"):
        read += parse_transforms(value) if isinstance(value, str) else [_of(Transform, value, "transform")]
    return tuple(read)


def as_regularizers(values: Any) -> tuple[Regularizer, ...]:
    """Return regularizers, or those that strings name."""
    several = _several(values, Regularizer, "regularizers")
    return tuple(parse_regularizer(value) if isinstance(value, str) else _of(Regularizer, value, "regularizer") for value in several)


def _several(values: Any, kind: type, what: str) -> Sequence[Any]:
    if isinstance(values, str | kind):
        return (values,)
    if not isinstance(values, Sequence):
        raise UsageError(f"{what} must be a list of parts or of their strings, not {values!r}")
    return values


def _of(kind: type, value: Any, what: str) -> Any:
    if not isinstance(value, kind):
        raise UsageError(f"{value!r} is no {what}; give one, or its string")
    return value
