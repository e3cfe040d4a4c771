"""Presets: published recipes by name, each a TOML file that says every number and where it was read."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dreamopt.errors import DreamoptError, UsageError, printable
from dreamopt.image.parametrization import parametrizations
from dreamopt.image.transform import transforms
from dreamopt.optimize.optimizer import optimizers
from dreamopt.parts.brief import brief
from dreamopt.parts.calls import check_string, parse_value
from dreamopt.parts.part import field_names
from dreamopt.parts.preset_files import PresetFile, is_preset_file, preset_names, preset_table, preset_text
from dreamopt.parts.reading import parse_json
from dreamopt.parts.registry import snake
from dreamopt.parts.spelling import ALIASES, lacks, no_part, no_setting
from dreamopt.parts.trust import no_file, words_of_file
from dreamopt.recipes.inputs import is_net_name
from dreamopt.recipes.settings import Settings, names
from dreamopt.recipes.shorthand import (
    Listed,
    as_optimizer,
    as_parametrization,
    as_regularizers,
    as_rule,
    as_transforms,
    with_added,
)
from dreamopt.recipes.stage_settings import StageSettings
from dreamopt.regularizer import Penalty, regularizers
from dreamopt.regularizers import Share

_READ: Mapping[str, Callable[[Any], Any]] = {
    "optimizer": as_optimizer,
    "parametrization": as_parametrization,
    "rule": as_rule,
    "regularizers": as_regularizers,
    "transforms": as_transforms,
}
_TEXTS = ("optimizer", "parametrization", "rule", "init", "mask")


@dataclass(frozen=True)
class Preset(PresetFile):
    """One published recipe: what its file says, and the settings that it makes."""

    def __repr__(self) -> str:
        """Return one line: its name and what it is."""
        return brief("Preset", self.name, self.title)

    @property
    def fields(self) -> dict[str, Any]:
        """The arguments of `Settings`, its stages as mappings; read anew at each use. Its strings choose among built-in parts."""
        table = preset_table(self.text, self.name)
        with words_of_file(f"the preset '{self.name}'", find=lambda path: path if is_net_name(path) else no_file(path)):
            stages = [_with_parts(stage) for stage in table.get("stages", ())]
            return {**_with_parts(table.get("settings", {})), "stages": stages}

    @property
    def check(self) -> dict[str, Any]:
        """How the recipe is tried on any net: ``target`` and ``set``, strings with places as in parts' examples, and ``fields``.

        ``needs`` says what it needs beside a net and a unit, where it does.
        """
        check: dict[str, Any] = preset_table(self.text, self.name).get("check", {})
        return check

    @cached_property
    def settings(self) -> Settings:
        """All of it; the parts are read when they are asked for."""
        return _made(self.fields)


def preset(name: str) -> Preset:
    """Return the preset of a name, or of a file: a name that ends with ``.toml``, or holds a separator of folders.

    A file's words choose among built-in parts and numbers, and name no other file, as in an image's metadata. It need say nothing of
    itself; ``[settings]`` and ``[[stages]]`` are as in the presets that there are.

    Raises
    ------
    UsageError
        For an unknown one, with those that there are, and a file that cannot be read.

    Examples
    --------
    >>> preset("deepdream2015").settings.octaves
    4
    """
    if is_preset_file(name):
        return dataclasses.replace(Preset.read(name, preset_text(name), published=False), name=Path(name).stem)
    return read_preset(name, preset_text(name))


def read_preset(name: str, text: str) -> Preset:
    """Return the preset that a TOML text says.

    Raises
    ------
    UsageError
        For a text that is damaged, and for a field that is missing, unknown or of another kind; what its settings hold is checked when
        these are asked for.
    """
    return Preset.read(name, text)


def presets() -> list[Preset]:
    """Return all presets by name; their parts are not read yet."""
    return [preset(name) for name in preset_names()]


def resolve_settings(name: str | None, options: Mapping[str, Any], assignments: Iterable[str] = ()) -> Settings:
    """Return the settings of a preset, or the default ones, with arguments of `Settings` and ``--set``'s assignments instead.

    An option that is given replaces what the preset's stages say of it.

    Raises
    ------
    UsageError
        For what does not fit.
    """
    fields = {} if name is None else preset(name).fields
    texts = list(assignments)
    changes = dict(options)
    # Up to the first that changes a part, assignments are options by another way.
    while texts and "." not in texts[0].partition("=")[0]:
        key, value = _option(texts.pop(0))
        changes[key] = value
    stages = changes.get("stages", [{k: v for k, v in stage.items() if k not in changes} for stage in fields.get("stages", ())])
    return with_assignments(_made(fields | changes | {"stages": stages}), texts)


def read_stage(text: str) -> dict[str, Any]:
    """Return the settings of a stage or an octave that words say, KEY=VALUE with spaces between them, quoted as in a shell.

    Raises
    ------
    UsageError
        For words of another form.

    Examples
    --------
    >>> read_stage("steps=20 layer=inception_3b/output target='2*conv3 - conv4:7'")
    {'steps': 20, 'layer': 'inception_3b/output', 'target': '2*conv3 - conv4:7'}
    """
    check_string(text, "the settings of an octave", UsageError)
    try:
        words = shlex.split(text)
    except ValueError as problem:
        raise UsageError(
            f"the settings of an octave are KEY=VALUE with spaces between them, not '{printable(text)}': {problem}"
        ) from problem
    stage: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or not value:
            raise UsageError(f"the settings of an octave are KEY=VALUE, as in steps=20, not '{printable(word)}'")
        stage[key] = value if key in ("layer", "target", *_TEXTS) else _value(value)
    return stage


def with_assignments(settings: Settings, assignments: Iterable[str]) -> Settings:
    """Return settings with some numbers changed, as ``--set`` gives them.

    Parameters
    ----------
    settings : Settings
        What is changed.
    assignments : iterable of str
        ``KEY=VALUE``. A key is an argument of `Settings` (``steps=100``, ``views=4``), or ``PART.PARAMETER`` of the optimizer, the
        parametrization, a regularizer or a transform (``optimizer.step_size=2``, ``tv.weight=0.1``, ``gaussian_blur.every=8``):
        of every part of that name, in every stage. A regularizer or transform that is not there yet is added. The ``share`` of a penalty
        (``tv.share=0.3``) makes a `dreamopt.regularizers.Share` of it, and fits every net. Values are Python literals or schedules,
        ``Linear(2.5, 0.5)``.

    Raises
    ------
    UsageError
        For what does not fit.

    Examples
    --------
    >>> print(*with_assignments(Settings(), ["steps=64", "tv.weight=0.1"]).regularizers)
    TotalVariation(0.1) Decay(0.0005) GaussianBlur(Linear(0.8, 0.16), every=4)
    """
    for text in assignments:
        part, dot, parameter = text.partition("=")[0].strip().rpartition(".")
        if dot and "=" in text:
            settings = _with_parameter(settings, part, parameter, _value(text.partition("=")[2]))
        else:
            key, value = _option(text)
            settings = settings.with_changes({key: value})
    return settings


def _with_parts(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of a file, the strings of parts read; a file's words name no other file, but nets of the catalogue."""
    for name in ("init", "mask", "strength"):
        if isinstance(fields.get(name), str):
            no_file(fields[name])
    return {name: _READ[name](value) if name in _READ else value for name, value in fields.items()}


def _option(text: str) -> tuple[str, Any]:
    """Return the setting and the value of an assignment."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError(f"--set takes KEY=VALUE, for instance steps=100 or tv.share=0.2, not '{text}'")
    if key not in names():
        raise UsageError(f"{no_setting(key, names())}, and PART.PARAMETER as in tv.share")
    read = value.strip() if key in _TEXTS or (key == "strength" and not _is_number(value)) else _value(value)
    return key, None if read == "null" and key in ("init", "mask") else read


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _made(fields: Mapping[str, Any]) -> Settings:
    unknown = next((key for key in fields if key not in names()), None)
    if unknown is not None:
        raise UsageError(no_setting(unknown, names()))
    try:
        return Settings(**fields)
    except (TypeError, ValueError) as problem:
        if isinstance(problem, DreamoptError):
            raise
        raise UsageError(f"the settings do not fit: {problem}") from problem


def _with_parameter(settings: Settings, part: str, parameter: str, value: Any) -> Settings:
    """Return settings with a parameter of every part of a name replaced, or with the part added."""
    name = snake(ALIASES.get(part, part))
    runs: list[Settings | StageSettings] = [settings, *settings.stages]
    replaced = [_replaced_in(run, name, parameter, value) for run in runs]
    if not any(replaced):
        kind = "regularizers" if name in regularizers.names() else "transforms" if name in transforms.names() else None
        if kind is None:
            there = [snake(type(known).__name__) for known in _parts(settings)]
            raise UsageError(no_part(part, parameter, [*there, *regularizers.names(), *transforms.names()]))
        make = (regularizers if kind == "regularizers" else transforms).get(name).make
        if is_share(make, parameter):
            plain = _with(lambda: make(**({"weight": 1} if "weight" in field_names(make) else {})), make.__name__, parameter, value)
            added = _with(lambda: Share(plain, value), make.__name__, parameter, value)
        else:
            _check_parameter(make, parameter)
            added = _with(lambda: make(**{parameter: value}), make.__name__, parameter, value)
        replaced = [_added_to(run, kind, added) for run in runs]
    first, *rest = replaced
    stages = [dataclasses.replace(stage, **new) for stage, new in zip(settings.stages, rest, strict=True)]
    return dataclasses.replace(settings, **first, stages=tuple(stages))


def _replaced_in(run: Settings | StageSettings, name: str, parameter: str, value: Any) -> dict[str, Any]:
    """Return the fields of a run that change where every part of a name gets another value."""
    new: dict[str, Any] = {}
    for field_name in ("optimizer", "parametrization"):
        part = getattr(run, field_name, None)
        if part is not None and name in (field_name, snake(type(part).__name__)):
            new[field_name] = _replaced(part, parameter, value)
    for field_name in ("regularizers", "transforms"):
        parts = getattr(run, field_name)
        if any(name in _names_of(part) for part in parts):
            new[field_name] = tuple(_replaced_named(part, name, parameter, value) if name in _names_of(part) else part for part in parts)
    return new


def _names_of(part: Any) -> tuple[str, ...]:
    """Return the names by which a part is meant: its own, and of a `Share` also its term's."""
    own = (snake(type(part).__name__),)
    return (*own, snake(type(part.term).__name__)) if isinstance(part, Share) else own


def is_share(kind: Any, parameter: str) -> bool:
    """Return whether a parameter is the share of a penalty, and none of its own."""
    return parameter == "share" and isinstance(kind, type) and issubclass(kind, Penalty) and "share" not in field_names(kind)


def _replaced_named(part: Any, name: str, parameter: str, value: Any) -> Any:
    """Return a part with another parameter; of a penalty, ``share`` makes a `Share` of it, whose term is meant by its own name."""
    if isinstance(part, Share) and name != "share" and parameter != "share":
        return part.replaced(term=_replaced(part.term, parameter, value))
    if is_share(type(part), parameter):
        return _with(lambda: Share(part, value), type(part).__name__, parameter, value)
    return _replaced(part, parameter, value)


def _added_to(run: Settings | StageSettings, kind: str, part: Any) -> dict[str, Any]:
    short = list(run.short_parts or (0, 0))
    place = 0 if kind == "regularizers" else 1
    listed = with_added(Listed(getattr(run, kind), short[place]), part)
    short[place] = listed.short
    return {kind: listed.parts, "short_parts": tuple(short)}


def _parts(settings: Settings) -> list[Any]:
    return [settings.optimizer, settings.parametrization, *settings.regularizers, *settings.transforms]


def _replaced(part: Any, parameter: str, value: Any) -> Any:
    _check_parameter(type(part), parameter)
    return _with(lambda: part.replaced(**{parameter: value}), type(part).__name__, parameter, value)


def _with(make: Callable[[], Any], name: str, parameter: str, value: Any) -> Any:
    try:
        return make()
    except (TypeError, ValueError) as problem:
        if isinstance(problem, DreamoptError):
            raise
        raise UsageError(f"{name} cannot have {parameter} = {value!r}: {problem}") from problem


def _check_parameter(make: Any, parameter: str) -> None:
    fields = field_names(make) if dataclasses.is_dataclass(make) else None
    if fields is not None and parameter not in fields:
        share = ["share"] if isinstance(make, type) and is_share(make, "share") else []
        raise UsageError(lacks(make.__name__, parameter, [*fields, *share]))


def _value(text: str) -> Any:
    check_string(text, "the value of a setting", UsageError)
    try:
        return parse_json(text, "the value", UsageError)
    except UsageError:
        return parse_value(text, (parametrizations, transforms, optimizers, regularizers))
