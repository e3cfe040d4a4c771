"""From what a user says to contestants: lists multiply, ranges are tuned, and equal ones take part once."""

from __future__ import annotations

import contextlib
import itertools
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamopt.errors import DreamoptWarning, UsageError, in_brackets, printable, suggest
from dreamopt.parts.preset_files import is_preset_file
from dreamopt.parts.trust import no_file, words_of_file
from dreamopt.recipes.inputs import is_net_name
from dreamopt.recipes.preset import resolve_settings
from dreamopt.recipes.settings import Settings, names
from dreamopt.study.axis import Axis
from dreamopt.study.request import Contestant
from dreamopt.study.words.axes import STEP_SIZE, STEP_SIZES, applies, axis_of, check_axes, default_axes, own_name
from dreamopt.study.words.said import Said, SaidContestant
from dreamopt.study.words.values import Varied

PRESET = "preset"
DEFAULT = "default"
"""The preset that contestants begin with, and that sets the targets, where nothing else is said."""
_STUDYS_OWN = {
    "seed": "the study draws seeds itself; see --seed and --seeds",
    "steps": "how long a run is, is the budget's business; see --budget",
    "batch_size": "it decides no image",
}
_PATHS = ("init", "mask", "strength")
_LONGEST = 32
"""Characters of a value in a contestant's name."""


@dataclass(frozen=True)
class _Made:
    """Settings as words say them, before it is known what is tuned of them."""

    name: str
    settings: Settings
    says: dict[str, Any]
    tune: tuple[Varied, ...] | None
    fixed: frozenset[str]
    """What was said of it by a list or an assignment, which is not tuned by itself."""


def contestants_of(said: Said, trials: int) -> tuple[tuple[Contestant, ...], Contestant]:
    """Return a study's contestants and its reference.

    Parameters
    ----------
    said : Said
        What the user says.
    trials : int
        Of each contestant; with 1 all take part as they are.

    Raises
    ------
    UsageError
        For what does not fit.

    Warns
    -----
    DreamoptWarning
        Where two contestants would be the same: the second is left out.
    """
    with _words(said):
        reference = _reference(said)
        made = [*_varied(said), *(_table(said, one) for one in said.contestants)]
        if not made:
            made = [_one(said, _stem(said.preset or DEFAULT), said.preset, said.assignments, None, {})]
        ranges = (*said.tune, *(one for one in said.vary if not one.values))
        _check_ranges(ranges, [one.settings for one in made], trials)
        for axis in (*ranges, *(one for each in made for one in each.tune or ())):
            for value in axis.values:
                _check_path(said, axis.name, value)
        contestants = [_contestant(one, ranges, trials) for one in made]
    contestants = _different(contestants)
    if len(contestants) == 1:
        if not contestants[0].axes and contestants[0].settings == reference.settings:
            raise UsageError("a study compares at least two contestants; say what differs, as --vary optimizer=adam,ascent,lbfgs")
        as_it_is = Contestant(f"{_stem(reference.says[PRESET])} as it is", reference.settings, (), reference.says)
        contestants = [*contestants, as_it_is]
    twice = next((one.name for place, one in enumerate(contestants) if one.name in {other.name for other in contestants[:place]}), None)
    if twice is not None:
        raise UsageError(f"two contestants are called '{printable(twice, 80)}'; give them different names")
    return tuple(contestants), reference


@contextlib.contextmanager
def _words(said: Said) -> Iterator[None]:
    if said.source is None:
        yield
        return
    with words_of_file(said.source, said.plugins, lambda path: path if is_net_name(path) else no_file(path)):
        yield


def _reference(said: Said) -> Contestant:
    name = said.reference if said.reference is not None else DEFAULT
    settings = _settings(said, name, said.assignments)
    return Contestant("reference", settings, (), {PRESET: name, "set": list(said.assignments)})


def _settings(said: Said, preset_name: str | None, assignments: Sequence[str]) -> Settings:
    for text in assignments:
        key, _, value = text.partition("=")
        _check_path(said, key.strip(), value.strip())
        _check_name(key.strip(), "--set")
    return resolve_settings(None if preset_name is None else _path(said, preset_name), {}, assignments)


def _check_path(said: Said, name: str, value: str) -> None:
    """Refuse a path that a study file names; 'null' is none."""
    if said.source is not None and name in _PATHS and value != "null" and not _is_number(value):
        no_file(value)


def _path(said: Said, name: str) -> str:
    """Return a preset's name, a file's path of a study file relative to that."""
    if said.folder is None or not is_preset_file(name) or os.path.isabs(name):
        return name
    return str(Path(said.folder) / name)


def _varied(said: Said) -> list[_Made]:
    lists = [one for one in said.vary if one.values]
    for one in said.vary:
        _check_name(one.name, "--vary")
    twice = next((one.name for place, one in enumerate(said.vary) if one.name in {other.name for other in said.vary[:place]}), None)
    if twice is not None:
        raise UsageError(f"--vary {twice} is given twice; put all its values into one list")
    if not lists:
        return []
    made = []
    for values in itertools.product(*(one.values for one in lists)):
        chosen = dict(zip((one.name for one in lists), values, strict=True))
        base = chosen.pop(PRESET, said.preset)
        start = _settings(said, base, said.assignments)
        # The optimizer's step size is said of the optimizer that is chosen, so that comes first.
        ordered = sorted(chosen.items(), key=lambda pair: "." in pair[0] or pair[0] in STEP_SIZES)
        assignments = list(said.assignments)
        for name, value in ordered:
            own = own_name(start, name)
            if own is None:
                raise UsageError(f"{name} was given, but the optimizer {start.optimizer} has none; leave it out, or vary it by --tune")
            assignments.append(f"{own}={value}")
            start = _settings(said, base, assignments)
        name = " ".join(_short(one.name, value) for one, value in zip(lists, values, strict=True))
        made.append(_Made(name, start, {PRESET: base, "set": assignments}, None, frozenset(chosen)))
    return _named(made)


def _table(said: Said, one: SaidContestant) -> _Made:
    assignments = (*said.assignments, *one.assignments)
    return _one(said, one.name, one.preset if one.preset is not None else said.preset, assignments, one.tune, {})


def _one(
    said: Said, name: str, base: str | None, assignments: Sequence[str], tune: tuple[Varied, ...] | None, says: dict[str, Any]
) -> _Made:
    settings = _settings(said, base, assignments)
    return _Made(name, settings, {PRESET: base, "set": list(assignments)} | says, tune, frozenset())


def _contestant(made: _Made, ranges: Sequence[Varied], trials: int) -> Contestant:
    """Return a contestant with its axes: those that are said, else its optimizer's step size."""
    own = ranges if made.tune is None else made.tune
    settings = made.settings
    says = dict(made.says)
    if not own:
        step_size_is_said = any(name in STEP_SIZES for name in made.fixed)
        tuned_by_default = trials > 1 and made.tune is None and not step_size_is_said
        axes = default_axes(settings) if tuned_by_default else ()
    else:
        axes = ()
        for one in own:
            name = own_name(settings, one.name)
            if name is not None and applies(settings, name):
                axes = (*axes, axis_of(settings, one, name))
            elif one.name in STEP_SIZES:
                axes = (*axes, *default_axes(settings))
    if not axes and (own or trials > 1):
        says["tuned"] = "takes part as it is"
    check_axes(settings, axes)
    return Contestant(made.name, settings, axes, says)


def _check_ranges(ranges: Sequence[Varied], all_settings: Sequence[Settings], trials: int) -> None:
    """Raise UsageError for a range that is no contestant's, is given twice, or that one trial cannot try."""
    if ranges and trials < 2:
        raise UsageError("--trials 1 leaves contestants as they are, but ranges are given; give 2 trials or more")
    for place, one in enumerate(ranges):
        _check_name(one.name, "--tune")
        if one.name == PRESET:
            raise UsageError("presets are compared, not tuned: give them as --vary preset=default,lucid2017")
        if one.name in {other.name for other in ranges[:place]}:
            raise UsageError(f"--tune {one.name} is given twice")
        if one.name in STEP_SIZES or any(applies(settings, one.name) for settings in all_settings):
            continue
        resolve_settings(None, {}, [f"{one.name}=1"])  # a part that is nowhere: its sentence
        raise UsageError(f"no contestant has a {one.name} to tune")


def _check_name(name: str, what: str) -> None:
    if name in STEP_SIZES or name == PRESET or (name in names() and name not in _STUDYS_OWN):
        return
    if name in _STUDYS_OWN:
        raise UsageError(f"{what} {name} is not a contestant's: {_STUDYS_OWN[name]}")
    if "." not in name:
        known = [*(one for one in names() if one not in _STUDYS_OWN), PRESET, STEP_SIZE]
        hint = in_brackets(suggest(name, known, 1))
        raise UsageError(
            f"there is no setting '{printable(name, 80)}'{hint}; there are {', '.join(known)}, and PART.PARAMETER as in tv.weight"
        )


def _different(contestants: Sequence[Contestant]) -> list[Contestant]:
    """Return contestants without those that are the same as another one, with a warning for each."""
    kept: list[Contestant] = []
    for one in contestants:
        other = next((other for other in kept if _same(one, other)), None)
        if other is None:
            kept.append(one)
            continue
        why = "" if one.settings == other.settings else ": they differ in what is tuned alone (as they are: --trials 1)"
        if one.settings != other.settings:
            raise UsageError(f"the contestants '{other.name}' and '{one.name}' are the same{why}")
        warnings.warn(f"the contestant '{one.name}' has the settings of '{other.name}', and is left out", DreamoptWarning, stacklevel=3)
    return kept


def _same(one: Contestant, other: Contestant) -> bool:
    if one.axes != other.axes:
        return False
    trial = {axis.name: axis.at(0.5) for axis in one.axes}
    return one.tuned(trial).describe() == other.tuned(trial).describe()


def _named(made: list[_Made]) -> list[_Made]:
    """Return contestants with names that differ: a number behind those that do not."""
    seen: dict[str, int] = {}
    for place, one in enumerate(made):
        seen[one.name] = seen.get(one.name, 0) + 1
        if seen[one.name] > 1:
            made[place] = _Made(f"{one.name} {seen[one.name]}", one.settings, one.says, one.tune, one.fixed)
    return made


def _short(name: str, value: str) -> str:
    """Return how a value is called in a contestant's name."""
    text = _stem(value) if name == PRESET else printable(value)
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    return text if text[:1].isalpha() and value not in ("true", "false", "null") else f"{name.rpartition('.')[2]}={text}"


def _stem(name: str) -> str:
    return Path(name).stem if is_preset_file(name) else name


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def default_budget(reference: Contestant) -> int:
    """Return the evaluations that a reference makes as it is: views times steps."""
    settings = reference.settings
    return sum(settings.stage(number).steps * settings.stage(number).views for number in range(settings.runs))


def axes_words(axes: Sequence[Axis]) -> str:
    """Return in words what is tuned.

    >>> axes_words((Axis("optimizer.step_size", 0.5, 16), Axis("jitter", 0, 8, log=False, whole=True)))
    'optimizer.step_size 0.5..16, jitter 0..8 linear'
    """
    words = []
    for axis in axes:
        ends = ",".join(map(str, axis.values)) if axis.values else f"{axis.low:g}..{axis.high:g}{'' if axis.log else ' linear'}"
        words.append(f"{axis.name} {ends}")
    return ", ".join(words) or "as it is"
