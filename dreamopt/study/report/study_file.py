"""A study as a study file, from which it is run again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dreamopt.parts.toml import toml_key, toml_value
from dreamopt.recipes.inputs import is_net_name
from dreamopt.recipes.replay import BUILT_IN
from dreamopt.study.axis import Axis
from dreamopt.study.report.presets import file_stem, named_files, preset_text
from dreamopt.study.report.words import AGAIN
from dreamopt.study.request import Contestant, Request

_PATHS = ("net", "weights", "labels", "mean")
_LOADS = ("channel_order", "scale", "device", "input", "input_shape", "feed", "phase", "stage", "level")
_PLAIN = ("title", "seeds", "seed", "trials", "tuning_seeds", "search", "race", "criterion")


def study_files(request: Request) -> dict[str, str]:
    """Return a study file that says the same study, and the presets that it names, by their names below the study's folder.

    Settings stand in it as they were before tuning, units as they were drawn. Nothing, where settings name files, which no study file may.
    """
    if any(named_files(one.settings) for one in (*request.contestants, request.reference)):
        return {}
    used = set[str]()
    presets = {one.name: f"presets/before/{file_stem(one.name, used)}.toml" for one in (request.reference, *request.contestants)}
    lines = ["# The study of this folder: dreamopt bench again.toml -o FOLDER", *(_line(name, getattr(request, name)) for name in _PLAIN)]
    lines += [_line("budget", str(request.budget)), _line("measures", request.measures)]
    lines += [_line("reference", presets[request.reference.name])]
    for net in request.nets:
        own = {"name": net.name, **_loaded(net.load), "size": net.size, "targets": net.units, "tune_on": net.tuning_units}
        lines += ["", "[[nets]]", *(_line(name, value) for name, value in own.items() if value != ())]
    for one in request.contestants:
        lines += ["", "[[contestants]]", _line("name", one.name), _line("preset", presets[one.name])]
        lines += ["", "[contestants.tune]", *(f"{toml_key(axis.name)} = {toml_value(_said(axis))}" for axis in one.axes)]
    for other in request.also:
        lines += ["", "[[also]]", _line("name", other["name"]), *(_line(name, value) for name, value in _loaded(other["load"]).items())]
    files = {presets[one.name]: _before(request, one) for one in (request.reference, *request.contestants)}
    return {AGAIN: "\n".join(lines) + "\n", **files}


def _before(request: Request, one: Contestant) -> str:
    about = {"title": f"{one.name}, of the study '{request.title}'", "source": "a study of dreamopt bench", "example": ""}
    return preset_text(one.settings, **about, notes="Before tuning; its steps are the budget's business.")


def _loaded(load: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a net is loaded; what runs another program is not said in a file."""
    own = {name: _place(name, load[name]) for name in _PATHS if load.get(name) is not None}
    own |= {name: load[name] for name in _LOADS if load.get(name) is not None}
    return own | ({"backend": load["backend"]} if load.get("backend") in BUILT_IN else {})


def _place(name: str, value: Any) -> Any:
    """Return a file's path as another folder's study file says it: absolute, where the file is there."""
    if not isinstance(value, str) or (name == "net" and is_net_name(value)) or not os.path.exists(value):
        return value
    return os.path.abspath(value)


def _said(axis: Axis) -> Any:
    if axis.values:
        return list(axis.values)
    return f"{axis.low!r}..{axis.high!r}{'' if axis.log else ' linear'}"


def _line(name: str, value: Any) -> str:
    return f"{name} = {toml_value(value)}"
