"""Settings as a preset file, ready for ``--preset FILE.toml``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dreamopt.errors import DreamoptError
from dreamopt.parts.atomic import bounded
from dreamopt.parts.toml import toml_value
from dreamopt.recipes.settings import NO_DEFAULTS, Settings
from dreamopt.recipes.stage_settings import StageSettings
from dreamopt.study.analysis import Analysis, Standing
from dreamopt.study.axis import Axis
from dreamopt.study.report.words import spend
from dreamopt.study.request import Request
from dreamopt.study.run import Row
from dreamopt.study.spending import within_evaluations

_FILES = ("init", "mask", "strength")
"""Settings that may name a file, which a preset cannot."""
_PLAIN = re.compile(r"[^\w.=+-]+")


@dataclass(frozen=True)
class Chosen:
    """A contestant's settings as they were scored, or the reference's.

    Parameters
    ----------
    name : str
        The contestant's.
    net : str
        Where it was tuned otherwise on each net: which one these are for; else empty.
    settings : Settings
        Tuned, with the steps that the budget allowed.
    trial : mapping
        What tuning set.
    axes : tuple of Axis
        What was tuned.
    file : str
        The preset's, below the study's folder.
    text : str
        The preset.
    """

    name: str
    net: str
    settings: Settings
    trial: Mapping[str, Any]
    axes: tuple[Axis, ...]
    file: str
    text: str = field(repr=False)


def chosen_settings(request: Request, analysis: Analysis, rows: Sequence[Row]) -> list[Chosen]:
    """Return the settings of all contestants and of the reference, as presets, in the order of the request.

    A contestant that was tuned otherwise on each net has settings for each.
    """
    chosen, used = list[Chosen](), set[str]()
    for standing in analysis.overall.standings:
        one = request.contestant(standing.contestant)
        for nets, trial in _trials(analysis, standing).items():
            phase = "reference" if standing.reference else "score"
            own = [row for row in rows if row.contestant == one.name and row.phase == phase and row.net in nets]
            settings = _budgeted(one.tuned(trial), request, own)
            on = "" if len(nets) == len(request.nets) else ", ".join(nets)
            stem = file_stem(f"{one.name}-{on}" if on else one.name, used)
            notes = "The reference, as it is." if standing.reference else _tuned_words(nets, trial)
            chosen.append(
                Chosen(one.name, on, settings, trial, one.axes, f"presets/{stem}.toml", _text(request, one.name, settings, notes))
            )
    return chosen


def _trials(analysis: Analysis, standing: Standing) -> dict[tuple[str, ...], Mapping[str, Any]]:
    """Return the trials that a contestant was scored with, by the nets that each was for."""
    by_net: dict[tuple[str, ...], Mapping[str, Any]] = {
        scope.nets: scope.standing(standing.contestant).trial for scope in analysis.scopes if len(scope.nets) == 1
    }
    if all(trial == standing.trial for trial in by_net.values()) or not by_net:
        return {analysis.overall.nets: standing.trial}
    return by_net


def winner_text(request: Request, analysis: Analysis, chosen: Sequence[Chosen]) -> str | None:
    """Return ``winner.toml``: the winner's preset, or the leader's, whose notes say that it is none; None without any scored run."""
    name = analysis.winner
    if name is None and analysis.overall.ranking:
        name = analysis.overall.ranking[0]
        if not analysis.overall.standing(name).runs:
            return None
    if name is None:
        return None
    own = next(one for one in chosen if one.name == name)
    words = [] if analysis.winner is not None else ["No winner: this one leads, but is not shown to be better than each other contestant."]
    nets = [own.net] if own.net else [net.name for net in request.nets]
    return _text(request, name, own.settings, " ".join([*words, analysis.verdict, _tuned_words(nets, own.trial)]))


def file_stem(name: str, used: set[str]) -> str:
    """Return a contestant's name as that of a file, and note it as used.

    >>> file_stem("step_size=0.5..16, ../up", set())
    'step_size=0.5..16-..-up'
    """
    stem = bounded(_PLAIN.sub("-", name).strip("-.") or "contestant", 200)
    alone, count = stem, 1
    while stem.casefold() in used:
        count += 1
        stem = f"{alone}-{count}"
    used.add(stem.casefold())
    return stem


def _budgeted(settings: Settings, request: Request, rows: Sequence[Row]) -> Settings:
    """Return settings with the steps that the budget allowed; of a budget in seconds, those that runs made at the median."""
    spent = [row.evaluations for row in rows if row.status == "done" and row.evaluations]
    amount = request.budget.amount if request.budget.kind == "evals" else np.median(spent) if spent else 0
    try:
        return within_evaluations(settings, int(amount)).settings
    except DreamoptError:  # no step fits into the budget, and each run has failed
        return settings


def _text(request: Request, name: str, settings: Settings, notes: str) -> str:
    source = f"a study of dreamopt bench, {request.key[:12]}: {request.criterion}, {spend(request)} a run"
    units = [unit for net in request.nets for unit in net.units]
    return preset_text(
        settings, title=f"{name}, of the study '{request.title}'", source=source, example=units[0] if units else "", notes=notes
    )


def _tuned_words(nets: Sequence[str], trial: Mapping[str, Any]) -> str:
    values = ", ".join(f"{axis} = {value}" for axis, value in trial.items())
    return f"Tuned on {', '.join(nets)}: {values}." if values else "Not tuned."


def preset_text(settings: Settings, *, title: str, source: str, example: str, notes: str) -> str:
    """Return a preset's TOML with all of the settings, as `dreamopt.recipes.preset.read_preset` reads it.

    A preset names no files: an init image, a mask and a map of strengths are left out, and the notes say so.

    Examples
    --------
    >>> from dreamopt.recipes.preset import read_preset
    >>> text = preset_text(Settings(steps=64, tv=0.1), title="Soft", source="a study", example="conv4:7", notes="")
    >>> read_preset("soft", text).settings == Settings(steps=64, tv=0.1)
    True
    """
    files = named_files(settings)
    if files:
        options = ", ".join(f"--{name} {getattr(settings, name)}" for name in files)
        notes = f"{notes} A preset names no file: give {options} as well.".strip()
    about = {"title": title, "source": source, "example": example, "notes": notes}
    lines = [f"{name} = {toml_value(value)}" for name, value in about.items()]
    lines += ["", "[settings]", *_lines(_own(settings, files))]
    for stage in settings.stages:
        lines += ["", "[[stages]]", *_lines(_of_stage(stage))]
    return "\n".join(lines) + "\n"


def named_files(settings: Settings) -> list[str]:
    """Return which settings name a file."""
    return [name for name in _FILES if isinstance(getattr(settings, name), str)]


def _own(settings: Settings, files: list[str]) -> dict[str, Any]:
    """Return arguments of `Settings`; without the short options' defaults, whose parts are among those that are listed."""
    plain = {name: value for name, value in settings.describe().items() if name != "stages" and name not in files}
    return plain | _parts(settings) | dict(NO_DEFAULTS)


def _of_stage(stage: StageSettings) -> dict[str, Any]:
    return stage.describe() | _parts(stage)


def _parts(run: Settings | StageSettings) -> dict[str, Any]:
    """Return the parts that are listed in their own order; a description has penalties first."""
    return {"transforms": [str(part) for part in run.transforms], "regularizers": [str(part) for part in run.regularizers]}


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {toml_value(value)}" for name, value in table.items() if value is not None and value != ()]
