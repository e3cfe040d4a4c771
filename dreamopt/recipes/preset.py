"""Presets: published recipes by name, each a TOML file that says every number and where it was read."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from dreamopt.errors import DreamoptError, UsageError
from dreamopt.image.parametrization import parametrizations, parse_parametrization
from dreamopt.image.transform import parse_transforms, transforms
from dreamopt.optimize.optimizer import optimizers, parse_optimizer
from dreamopt.parts.calls import parse_value
from dreamopt.parts.part import literal
from dreamopt.parts.registry import snake
from dreamopt.recipes.settings import STAGED, Settings
from dreamopt.regularizer import parse_regularizer, regularizers

SHORT = {"tv": "total_variation", "blur": "gaussian_blur"}
"""Short names of parts in ``--set``."""
_PARTS = {"optimizer": parse_optimizer, "parametrization": parse_parametrization}


@dataclass(frozen=True)
class Preset:
    """One published recipe.

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
    settings : Settings
        All of it.
    """

    name: str
    title: str
    source: str
    example: str
    notes: str
    size: int | None
    settings: Settings


@cache
def _names() -> tuple[str, ...]:
    folder = resources.files("dreamopt.recipes").joinpath("presets")
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def preset(name: str) -> Preset:
    """Return the preset of a name.

    Raises
    ------
    UsageError
        For an unknown one, with those that there are.

    Examples
    --------
    >>> preset("deepdream2015").settings.octaves
    4
    """
    if name not in _names():
        near = difflib.get_close_matches(name, _names(), n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(f"no preset is called '{name}'{hint}; there are {', '.join(_names())}")
    text = resources.files("dreamopt.recipes").joinpath("presets", f"{name}.toml").read_text(encoding="utf-8")
    told = tomllib.loads(text)
    settings = told.pop("settings", {}) | {"stages": told.pop("stages", ())}
    return Preset(name, settings=Settings(**settings), size=told.pop("size", None), **told)


def presets() -> list[Preset]:
    """Return all presets by name."""
    return [preset(name) for name in _names()]


def chosen(name: str | None, fields: Mapping[str, Any], assignments: Iterable[str] = ()) -> Settings:
    """Return the settings of a preset, or the default ones, with fields of `Settings` and ``--set``'s assignments instead.

    A field that is given replaces what the preset's stages say of it.
    """
    settings = Settings() if name is None else preset(name).settings
    for key, value in fields.items():
        settings = _with_field(settings, key, value)
    return changed(settings, assignments)


def changed(settings: Settings, assignments: Iterable[str]) -> Settings:
    """Return settings with some numbers changed, as ``--set`` gives them.

    Parameters
    ----------
    settings : Settings
        What is changed.
    assignments : iterable of str
        ``KEY=VALUE``. A key is a field of `Settings` (``steps=100``, ``views=4``), or ``PART.PARAMETER`` of the optimizer, the
        parametrization, a regularizer or a transform (``optimizer.step_size=2``, ``tv.weight=0.1``, ``gaussian_blur.every=8``):
        of every part of that name, in every stage. A regularizer or transform that is not there yet is added. Values are
        Python literals or schedules, ``Linear(2.5, 0.5)``.

    Raises
    ------
    UsageError
        For what does not fit.

    Examples
    --------
    >>> changed(Settings(), ["steps=64", "tv.weight=0.1"]).make_regularizers()
    ['gaussian_blur(Linear(0.5, 0.1), every=4)', 'total_variation(weight=0.1)']
    """
    for text in assignments:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(f"--set takes KEY=VALUE, for instance steps=100 or tv.weight=0.1, not '{text}'")
        part, dot, parameter = key.rpartition(".")
        settings = _part_changed(settings, part, parameter, value) if dot else _field_changed(settings, key, value)
    return settings


def _field_changed(settings: Settings, key: str, text: str) -> Settings:
    fields = Settings.__dataclass_fields__
    if key not in fields:
        near = difflib.get_close_matches(key, fields, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(f"there is no setting '{key}'{hint}; there are {', '.join(fields)}, and PART.PARAMETER as in tv.weight")
    value: Any = text.strip() if fields[key].type in ("str", "str | None") else _value(text)
    if fields[key].type == "tuple[str, ...]" and isinstance(value, str):
        value = (value,)
    return _with_field(settings, key, value)


def _with_field(settings: Settings, key: str, value: Any) -> Settings:
    settings = _new(settings, **{key: value})
    if key in STAGED and settings.stages:
        settings = _new(settings, stages=[{k: v for k, v in stage.items() if k != key} for stage in settings.stages])
    return settings


def _part_changed(settings: Settings, part: str, parameter: str, text: str) -> Settings:
    name, value = snake(SHORT.get(part, part)), _value(text)
    stages, found = [], False
    base, hit = _changed_parts(_explicit(settings), name, parameter, value)
    found = hit
    for number in range(len(settings.stages)):
        stage = dict(settings.stages[number])
        for key in ("optimizer", "regularizers", "transforms"):
            if key in stage:
                mended, hit = _changed_parts({key: stage[key]}, name, parameter, value)
                stage, found = stage | mended, found or hit
        stages.append(stage)
    if not found:
        kind = "regularizers" if name in regularizers.names() else "transforms" if name in transforms.names() else None
        if kind is None:
            there = [snake(type(one).__name__) for one in _parts(settings)]
            raise UsageError(
                f"there is no part '{part}' to set {parameter} of; there are {', '.join(there)}, and all regularizers and transforms"
            )
        made = (regularizers if kind == "regularizers" else transforms).get(name).make
        _check_parameter(made, parameter)
        added = f"{name}({parameter}={literal(value)})"
        base[kind] = (*base[kind], added)
        stages = [stage | ({kind: [*stage[kind], added]} if kind in stage else {}) for stage in stages]
    return _new(settings, **(base | {"stages": stages}))


def _explicit(settings: Settings) -> dict[str, Any]:
    """Return the fields of settings in which every part is a string, and none a number of its own."""
    base: dict[str, Any] = {"tv": 0.0, "l2": 0.0, "decay": 0.0, "blur": 0.0, "jitter": 0, "lr": None, "noise": settings.noise}
    base["regularizers"] = tuple(settings.make_regularizers())
    base["transforms"] = ((f"jitter({settings.jitter})",) if settings.jitter else ()) + settings.transforms
    base["optimizer"] = str(settings.make_optimizer())
    base["parametrization"] = settings.parametrization
    return base


def _changed_parts(fields: Mapping[str, Any], name: str, parameter: str, value: Any) -> tuple[dict[str, Any], bool]:
    made, found = dict(fields), False
    for key, read in _PARTS.items():
        if key in made and made[key] is not None:
            one = read(made[key])
            if name in (key, snake(type(one).__name__)):
                made[key], found = str(_replaced(one, parameter, value)), True
    for key, read_many in (("regularizers", lambda text: [parse_regularizer(text)]), ("transforms", parse_transforms)):
        if key not in made:
            continue
        texts: list[str] = []
        for text in made[key]:
            parts = read_many(text)
            if all(snake(type(one).__name__) != name for one in parts):
                texts.append(text)
                continue
            found = True
            texts += [str(_replaced(one, parameter, value)) if snake(type(one).__name__) == name else str(one) for one in parts]
        made[key] = tuple(texts)
    return made, found


def _parts(settings: Settings) -> list[Any]:
    made = _explicit(settings)
    parts: list[Any] = [parse_optimizer(made["optimizer"]), parse_parametrization(made["parametrization"])]
    parts += [parse_regularizer(text) for text in made["regularizers"]]
    return parts + [one for text in made["transforms"] for one in parse_transforms(text)]


def _replaced(one: Any, parameter: str, value: Any) -> Any:
    _check_parameter(type(one), parameter)
    try:
        return dataclasses.replace(one, **{parameter: value})
    except (TypeError, ValueError) as problem:
        if isinstance(problem, DreamoptError):
            raise
        raise UsageError(f"{type(one).__name__} cannot have {parameter} = {value!r}: {problem}") from problem


def _check_parameter(made: Any, parameter: str) -> None:
    # Not __dataclass_fields__: it holds class variables too.
    fields = [field.name for field in dataclasses.fields(made) if field.init] if dataclasses.is_dataclass(made) else None
    if fields is not None and parameter not in fields:
        raise UsageError(f"{made.__name__} has no parameter '{parameter}'; it has {', '.join(fields) or 'none'}")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return parse_value(text, (parametrizations, transforms, optimizers, regularizers))


def _new(settings: Settings, **fields: Any) -> Settings:
    try:
        return dataclasses.replace(settings, **fields)
    except (TypeError, ValueError) as problem:
        if isinstance(problem, DreamoptError):
            raise
        said = ", ".join(f"{key} = {value!r}" for key, value in fields.items())
        raise UsageError(f"{said} is of the wrong kind: {problem}") from problem
