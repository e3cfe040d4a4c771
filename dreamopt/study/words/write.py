"""A study as a study file: what `read_study` reads into the same study again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamopt.parts.preset_files import is_preset_file
from dreamopt.parts.toml import toml_key, toml_value
from dreamopt.recipes.inputs import is_net_name
from dreamopt.study.words.said import Said, SaidContestant, SaidNet
from dreamopt.study.words.toml import DECLARED
from dreamopt.study.words.values import Varied

_PLAIN = ("title", "budget", "seeds", "seed", "trials", "tuning_seeds", "search", "race", "criterion")
_LISTS = ("targets", "tune_on", "layers")


def study_text(said: Said, folder: str | os.PathLike[str]) -> str | None:
    """Return what a user says of a study as the text of a study file in a folder, to which its paths are relative.

    None where it cannot be said in a file: a net or a target that is an object, a backend that runs a program.
    """
    if any(not _sayable(net) for net in (*said.nets, *said.also)):
        return None
    paths = _Paths(Path(said.folder) if said.folder is not None else Path(), Path(folder))
    top: dict[str, Any] = {name: getattr(said, name) for name in _PLAIN if getattr(said, name) is not None}
    top |= {name: paths.preset(getattr(said, name)) for name in ("preset", "reference") if getattr(said, name) is not None}
    top |= {"measures": list(said.measures)} if said.measures else {}
    lines = _lines(top)
    for name, table in (("set", _settings(said.assignments)), ("vary", _varied(said.vary, paths)), ("tune", _varied(said.tune, paths))):
        lines += ["", f"[{name}]", *_lines(table)] if table else []
    for one in said.contestants:
        lines += ["", "[[contestant]]", *_lines(_contestant(one, paths))]
    for net in said.nets:
        lines += ["", "[[net]]", *_lines(_net(net, paths))]
    for net in said.also:
        lines += ["", "[[also]]", *_lines(_net(net, paths))]
    return "\n".join([*lines, ""])


class _Paths:
    """Paths as they are said in one folder, as they are said in another."""

    def __init__(self, before: Path, now: Path) -> None:
        self.before, self.now = before, now

    def file(self, path: str) -> str:
        try:
            return os.path.relpath(self.before / path, self.now)
        except ValueError:  # on another drive
            return str((self.before / path).absolute())

    def preset(self, name: str) -> str:
        if not is_preset_file(name):
            return name
        path = self.file(name)
        return path if is_preset_file(path) else f"./{path}"


def _sayable(net: SaidNet) -> bool:
    backend, python = net.options.get("backend"), net.options.get("python")
    texts = all(isinstance(target, str) for target in (*net.targets, *net.tune_on))
    return net.network is None and texts and backend in (None, "auto", "engine") and python is None and net.options.get("cache") is None


def _net(said: SaidNet, paths: _Paths) -> dict[str, Any]:
    options = {name: value for name, value in said.options.items() if value not in (None, (), [])}
    # Files are named from the study file's folder; what came out of one is relative to it already, and joined with it when it was read.
    here = _Paths(Path(), paths.now)
    for name in ("weights", "labels"):
        if name in options:
            options[name] = here.file(str(options[name]))
    if isinstance(options.get("mean"), str) and os.path.exists(options["mean"]):
        options["mean"] = here.file(options["mean"])
    if "feed" in options:
        options["feed"] = [_fed(text, here) for text in options["feed"]]
    plain = {"name": said.name, "net": said.net if said.net is None or is_net_name(said.net) else here.file(said.net)}
    more = {"sample": said.sample, "size": list(said.size) if isinstance(said.size, tuple) else said.size}
    lists = {name: list(getattr(said, name)) for name in _LISTS if getattr(said, name)}
    return {name: value for name, value in (plain | options | more | lists).items() if value is not None}


def _fed(text: str, paths: _Paths) -> str:
    blob, _, value = text.partition("=")
    return f"{blob}={paths.file(value)}" if os.path.exists(value) else text


def _contestant(said: SaidContestant, paths: _Paths) -> dict[str, Any]:
    own: dict[str, Any] = {"name": said.name}
    own |= {"preset": paths.preset(said.preset)} if said.preset is not None else {}
    own |= {"set": _settings(said.assignments)} if said.assignments else {}
    return own | ({"tune": _varied(said.tune, paths)} if said.tune is not None else {})


def _settings(assignments: tuple[str, ...]) -> dict[str, str]:
    return {text.partition("=")[0].strip(): text.partition("=")[2].strip() for text in assignments}


def _varied(said: tuple[Varied, ...], paths: _Paths) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for one in said:
        if one.values:
            table[one.name] = [paths.preset(value) if one.name == "preset" else value for value in one.values]
        else:
            span = one.span
            table[one.name] = DECLARED if span is None else f"{span.low!r}..{span.high!r}{'' if span.log else ' linear'}"
    return table


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{toml_key(name)} = {toml_value(value)}" for name, value in table.items()]
