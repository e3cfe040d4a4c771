"""What is tuned of a contestant: the ranges that a user says, or the range of step sizes that its optimizer declares."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.image.transform import transforms
from dreamopt.parts.part import Part, field_names
from dreamopt.parts.registry import snake
from dreamopt.parts.spelling import ALIASES
from dreamopt.parts.tuned import Tuned
from dreamopt.recipes.preset import is_share
from dreamopt.recipes.settings import Settings, names
from dreamopt.regularizer import regularizers
from dreamopt.study.axis import Axis
from dreamopt.study.tuned import own_number, part_of
from dreamopt.study.words.values import Varied, value_text

STEP_SIZE = "step_size"
"""Short for the optimizer's own step size, whatever its field is called."""
STEP_SIZES = (STEP_SIZE, "optimizer.step_size", "lr", "optimizer.lr")
_FIELDS = ("step_size", "lr")
_FOLD = 8
"""An optimizer that declares no range is tried from an eighth of its number to eight times that."""


def own_name(settings: Settings, name: str) -> str | None:
    """Return the full name of a setting in these settings: ``step_size`` as the optimizer's field; None where there is none.

    >>> own_name(Settings(optimizer='torch("RAdam")'), "step_size"), own_name(Settings(optimizer="scipy()"), "step_size")
    ('optimizer.lr', None)
    """
    if name not in STEP_SIZES:
        return name
    field = next((field for field in _FIELDS if field in field_names(settings.optimizer)), None)
    return None if field is None else f"optimizer.{field}"


def applies(settings: Settings, name: str) -> bool:
    """Return whether settings have what a name says, or can be given it.

    >>> applies(Settings(), "tv.weight"), applies(Settings(), "fourier.power"), applies(Settings(), "pixels.noise")
    (True, True, False)
    """
    part, dot, parameter = name.rpartition(".")
    if not dot:
        return name in names()
    found = part_of(settings, name)
    if found is not None:
        return parameter in field_names(found)
    return _added(part) is not None


def default_axes(settings: Settings) -> tuple[Axis, ...]:
    """Return the axis of the optimizer's step size, over the range that it declares; none where it has no such number.

    The range of a contestant whose own number lies outside is as wide, with that number in its middle.

    >>> print(*default_axes(Settings(optimizer="ascent(2)")), *default_axes(Settings(optimizer="scipy()")))
    optimizer.step_size=0.125..16
    """
    ranges = settings.optimizer.tuned_ranges()
    field = next(iter(ranges), None) or next((field for field in _FIELDS if field in field_names(settings.optimizer)), None)
    if field is None:
        return ()
    name = f"optimizer.{field}"
    own = own_number(settings, name)
    return (_axis(name, _about(ranges.get(field), own, name)),)


def axis_of(settings: Settings, varied: Varied, name: str) -> Axis:
    """Return the axis that a user says of settings, under its full name.

    Raises
    ------
    UsageError
        For a range that does not fit, and where none is said and none declared.
    """
    if varied.values:
        return Axis(name, values=tuple(map(_plain, varied.values)))
    if varied.span is None:
        return _axis(name, _declared(settings, name))
    low, high, log = varied.span.low, varied.span.high, varied.span.log
    if log and 0 in (low, high):
        raise UsageError(f"the range {low:g}..{high:g} of {varied.name} holds 0, which no ratio leads to; write '{low:g}..{high:g} linear'")
    return Axis(name, low, high, log=log, whole=_is_whole(settings, name))


def check_axes(settings: Settings, axes: Sequence[Axis]) -> None:
    """Raise the sentence of a part that does not take an end of its range, or a listed value."""
    from dreamopt.study.tuned import tuned_settings

    for axis in axes:
        for value in axis.values or (axis.at(0), axis.at(1)):
            tuned_settings(settings, {axis.name: value})


def _about(tuned: Tuned | None, own: float | None, name: str) -> Tuned:
    if tuned is None:
        if not own or own < 0:
            raise UsageError(f"nothing says over which range {name} is tuned; give it, as --tune {name}=0.5..16")
        return Tuned(own / _FOLD, own * _FOLD)
    if own is None or tuned.holds(own) or not tuned.log or own <= 0:
        return tuned
    half = math.sqrt(tuned.high / tuned.low)
    return dataclasses.replace(tuned, low=float(f"{own / half:.4g}"), high=float(f"{own * half:.4g}"))


def _declared(settings: Settings, name: str) -> Tuned:
    part, _, parameter = name.rpartition(".")
    found = part_of(settings, name)
    ranges: Mapping[str, Tuned] = {}
    if found is not None:
        ranges = found.tuned_ranges()
    elif part:
        added = _added("share" if is_share(_added(part), parameter) else part)
        ranges = {} if added is None else added.tuned
    return _about(ranges.get(parameter), own_number(settings, name), name)


def _axis(name: str, tuned: Tuned) -> Axis:
    return Axis(name, tuned.low, tuned.high, log=tuned.log, whole=tuned.whole)


def _added(part: str) -> type[Part] | None:
    """Return the class of a regularizer or transform that ``--set`` would add."""
    name = snake(ALIASES.get(part, part))
    registry = next((one for one in (regularizers, transforms) if name in one.names()), None)
    made: Any = None if registry is None else registry.get(name).make
    return made if isinstance(made, type) else None


def _is_whole(settings: Settings, name: str) -> bool:
    """Return whether a setting is counted: by the type of its field."""
    part, _, parameter = name.rpartition(".")
    holder: Any = part_of(settings, name) if part else Settings
    holder = _added(part) if holder is None else holder
    if holder is None or not dataclasses.is_dataclass(holder):
        return False
    kinds = {known.name: str(known.type) for known in dataclasses.fields(holder)} | (
        {} if part else dict.fromkeys(("size", "jitter"), "int")
    )
    return kinds.get(parameter, "") in ("int", "int | None")


def _plain(text: str) -> float | int | str:
    """Return a number that a text says, or the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return value_text(text)
