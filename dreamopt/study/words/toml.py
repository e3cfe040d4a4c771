"""A study file: everything that the options of ``dreamopt bench`` say, as TOML.

It may be anybody's: its words choose among built-in parts and numbers. Nets and presets may be named by paths, relative to the file's
folder; they are read, and run nothing. What runs something (plugins, Python layers, a Caffe in another Python) only the user allows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamopt.errors import UsageError, in_brackets, suggest
from dreamopt.parts.checks import COUNT, NOT_NEGATIVE, SIDE
from dreamopt.parts.forms import Form, Key, anything, either, flag, listed, mapped, number, row, text, whole
from dreamopt.parts.reading import parse_toml, read_text
from dreamopt.recipes.inputs import is_net_name
from dreamopt.recipes.replay import BUILT_IN, FROM_METADATA
from dreamopt.study.words.said import Said, SaidContestant, SaidNet
from dreamopt.study.words.values import Varied, value_text, varied

DECLARED = "declared"
"""Instead of a range: the one that the part declares."""
LARGEST = 2**20
"""Bytes of the largest study file."""
_WORDS = either(listed(text()), text())
_VALUES = mapped(anything, 1000)
_SIZE = either(row(whole(SIDE), whole(SIDE)), whole(SIDE))
_FILES = ("weights", "labels")
_LOADS: Mapping[str, Form] = {
    **dict.fromkeys(("weights", "labels", "channel_order", "device", "input", "phase", "backend"), text()),
    "mean": either(listed(number()), number(), text()),
    "scale": number(),
    "level": whole(NOT_NEGATIVE),
    **dict.fromkeys(("input_shape", "feed", "stage"), _WORDS),
}
_UNITS: Mapping[str, Form] = {"targets": _WORDS, "tune_on": _WORDS, "sample": whole(COUNT), "layers": _WORDS, "size": _SIZE}
_NET: Mapping[str, Form] = {"net": text(), "name": text(200), **_LOADS}
_CONTESTANT: Mapping[str, Form] = {"name": text(200), "preset": text(), "set": _VALUES, "tune": _VALUES}


def _table(forms: Mapping[str, Form]) -> Form:
    """Return the form of a table of known keys; an unknown one is refused with the one that is meant."""

    def read(value: Any, key: Key) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise key.misfit("a table", value)
        for name in value:
            if name not in forms:
                hint = in_brackets(suggest(name, forms, 1))
                raise key.error(f"{key.at(name)} is not known{hint}; there are {', '.join(forms)}")
        return {name: forms[name](entry, key.at(name)) for name, entry in value.items()}

    return read


_STUDY = _table(
    {
        "title": text(1000),
        **_NET,
        **_UNITS,
        "preset": text(),
        "reference": text(),
        "set": _VALUES,
        "vary": _VALUES,
        "tune": _VALUES,
        "budget": either(whole(COUNT), text(100)),
        "seeds": whole(COUNT),
        "seed": whole(NOT_NEGATIVE),
        "trials": whole(COUNT),
        "tuning_seeds": whole(COUNT),
        "search": text(100),
        "race": flag,
        "criterion": text(1000),
        "measures": _WORDS,
        "nets": listed(_table({**_NET, **_UNITS}), most=1000),
        "contestants": listed(_table(_CONTESTANT), most=1000),
        "also": listed(_table(_NET), most=1000),
    }
)
_ALIASES = {"net": "nets", "contestant": "contestants"}
"""Tables may be written [[net]] and [[contestant]], too."""


def read_study(path: str | os.PathLike[str], plugins: Sequence[str] = ()) -> Said:
    """Return what a study file says.

    Parameters
    ----------
    path : path
        The file.
    plugins : sequence of str
        Names of installed plugins that it may name.

    Raises
    ------
    UsageError
        For a file that cannot be read, naming the first key that is unknown or does not fit.
    TrustError
        For what only the user may say.
    """
    what = f"the study file {os.fspath(path)}"
    table = parse_toml(read_text(path, "the study file", UsageError, LARGEST), what, UsageError)
    for alias, name in _ALIASES.items():
        if isinstance(table.get(alias), list):
            table[name] = [*table.get(name, []), *table.pop(alias)] if isinstance(table.get(name, []), list) else table.pop(alias)
    checked: dict[str, Any] = _STUDY(table, Key(what))
    folder = Path(path).parent
    own = {name: checked[name] for name in (*_NET, *_UNITS) if name in checked}
    shared = {name: own[name] for name in (*_UNITS, "device", "backend") if name in own}
    if "nets" in checked and len(shared) < len(own):
        other = next(name for name in own if name not in shared)
        raise UsageError(f"{other} in {what} stands beside tables [[net]]; write it into the table of its net")
    nets = [_net(_inherited(shared, one) | one, folder, what) for one in checked.get("nets", ())]
    if not nets and own:
        nets = [_net(own, folder, what)]
    plain = ("title", "preset", "reference", "seeds", "seed", "trials", "tuning_seeds", "search", "race", "criterion")
    return Said(
        **{name: checked[name] for name in plain if name in checked},
        nets=tuple(nets),
        contestants=tuple(_contestant(one, number, what) for number, one in enumerate(checked.get("contestants", ()))),
        vary=_varied(checked.get("vary", {}), f"{what}: vary"),
        tune=_varied(checked.get("tune", {}), f"{what}: tune"),
        assignments=_assignments(checked.get("set", {})),
        budget=str(checked["budget"]) if "budget" in checked else None,
        measures=_several(checked.get("measures", ())),
        also=tuple(_net(one, folder, what) for one in checked.get("also", ())),
        source=what,
        folder=str(folder),
        plugins=tuple(plugins),
    )


def _inherited(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a net's table takes over: targets stand instead of drawn units, and the other way round."""
    others = {"sample", "layers"} if "targets" in own else {"targets"} if "sample" in own else set()
    return {name: value for name, value in shared.items() if name not in others}


def _net(said: Mapping[str, Any], folder: Path, what: str) -> SaidNet:
    options = {name: said[name] for name in _LOADS if name in said and name in (*FROM_METADATA, *_FILES, "mean", "feed")}
    if said.get("backend") not in (None, *BUILT_IN):
        raise UsageError(f"backend in {what} must be {' or '.join(BUILT_IN)}, which run no other program; give others by --backend")
    for name in _FILES:
        if name in options:
            options[name] = _place(folder, options[name])
    if "mean" in options:
        options["mean"] = _mean(options["mean"], folder)
    for name in ("input_shape", "feed", "stage"):
        if name in options:
            options[name] = list(_several(options[name]))
    if "feed" in options:
        options["feed"] = [_fed(one, folder) for one in options["feed"]]
    net = said.get("net")
    return SaidNet(
        net=net if net is None or is_net_name(net) else _place(folder, net),
        name=said.get("name"),
        options=options,
        targets=_several(said.get("targets", ())),
        tune_on=_several(said.get("tune_on", ())),
        sample=said.get("sample"),
        layers=_several(said.get("layers", ())),
        size=said.get("size") if not isinstance(said.get("size"), list) else (said["size"][0], said["size"][1]),
    )


def _contestant(said: Mapping[str, Any], number: int, what: str) -> SaidContestant:
    if "name" not in said:
        raise UsageError(f"contestants[{number}].name in {what} is missing")
    tune = _varied(said["tune"], f"{what}: tune of {said['name']}") if "tune" in said else None
    return SaidContestant(said["name"], said.get("preset"), _assignments(said.get("set", {})), tune)


def _varied(said: Mapping[str, Any], what: str) -> tuple[Varied, ...]:
    return tuple(Varied(name) if value == DECLARED else varied(name, value, what) for name, value in _dotted(said).items())


def _assignments(said: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{name}={value_text(value)}" for name, value in _dotted(said).items())


def _dotted(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by full names: ``tv.weight = 1`` is a table in TOML."""
    flat: dict[str, Any] = {}
    for name, value in said.items():
        flat |= {f"{name}.{inner}": entry for inner, entry in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat


def _several(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _place(folder: Path, path: str) -> str:
    return path if os.path.isabs(path) else str(folder / path)


def _mean(value: Any, folder: Path) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    if not isinstance(value, str):
        return str(value)
    try:
        [float(part) for part in value.split(",")]
    except ValueError:
        return _place(folder, value)
    return value


def _fed(entry: str, folder: Path) -> str:
    blob, equals, value = entry.partition("=")
    return f"{blob}={_mean(value, folder)}" if equals else entry
