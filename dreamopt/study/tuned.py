"""Settings with the numbers of a trial: a schedule keeps its shape and begins with the number tried, and stages keep their ratios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.parts.checks import plain_number
from dreamopt.parts.part import Part
from dreamopt.parts.registry import snake
from dreamopt.parts.schedule import begins, times
from dreamopt.parts.spelling import ALIASES
from dreamopt.recipes.preset import with_assignments
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.stage_settings import StageSettings


def tuned_settings(settings: Settings, trial: Mapping[str, Any]) -> Settings:
    """Return settings with a trial's values.

    Of a part that is a schedule, or that has other numbers in other stages, all numbers are multiplied, so that the first one is the number
    tried.

    Parameters
    ----------
    settings : Settings
        Before tuning.
    trial : mapping
        Values by the names of settings, as before the sign in ``--set``.

    Raises
    ------
    UsageError
        For what does not fit.

    Examples
    --------
    >>> print(tuned_settings(Settings(optimizer="adam(Linear(8, 1))"), {"optimizer.step_size": 4}).optimizer)
    Adam(step_size=Linear(4.0, 0.5))
    """
    for name, value in trial.items():
        settings = _tuned(settings, name, value)
    return settings


def own_number(settings: Settings, name: str) -> float | None:
    """Return the number that settings have under a name, of a schedule what it begins with; None where there is none.

    >>> own_number(Settings(optimizer="adam(Linear(8, 1))"), "optimizer.step_size")
    8
    """
    number = next(_numbers(settings, name), None)
    return None if number is None else begins(number)


def part_of(settings: Settings, name: str) -> Part | None:
    """Return the first part whose parameter a name says; None where there is none."""
    return next((part for run in _runs(settings) for part in _parts_of(run, name)), None)


def _tuned(settings: Settings, name: str, value: Any) -> Settings:
    assignment, first = f"{name}={value}", next(_numbers(settings, name), None)
    shaped = callable(first) or len({str(number) for number in _numbers(settings, name)}) > 1
    if plain_number(value) is None or not shaped or first is None:
        return with_assignments(settings, [assignment])
    start = begins(first)
    if not start:
        raise UsageError(f"{name} of these settings begins with no number that others can be in a ratio to, but {first}")
    factor, parameter = float(value) / start, name.rpartition(".")[2]

    def scaled(run: Any) -> Any:
        own = set(map(id, _parts_of(run, name)))

        def one(part: Any) -> Any:
            return part.replaced(**{parameter: times(getattr(part, parameter), factor)}) if id(part) in own else part

        changes: dict[str, Any] = {"optimizer": one(run.optimizer)}
        changes |= {field: tuple(one(part) for part in getattr(run, field)) for field in ("regularizers", "transforms")}
        return replace(run, **changes, **({"parametrization": one(run.parametrization)} if isinstance(run, Settings) else {}))

    whole: Settings = scaled(settings)
    return replace(whole, stages=tuple(scaled(stage) for stage in settings.stages))


def _runs(settings: Settings) -> list[Settings | StageSettings]:
    return [*settings.stages, settings] if settings.stages else [settings]


def _numbers(settings: Settings, name: str) -> Iterator[Any]:
    """Return what the parts in use have under a name, from the first stage on."""
    parameter = name.rpartition(".")[2]
    for run in settings.stages or (settings,):
        for part in _parts_of(run, name):
            if getattr(part, parameter, None) is not None:
                yield getattr(part, parameter)


def _parts_of(run: Settings | StageSettings, name: str) -> list[Any]:
    """Return the parts of a run that a name, PART.PARAMETER, means."""
    part, dot, _ = name.rpartition(".")
    if not dot:
        return []
    called = snake(ALIASES.get(part, part))
    single = [(field, getattr(run, field, None)) for field in ("optimizer", "parametrization")]
    several = [(None, one) for field in ("regularizers", "transforms") for one in getattr(run, field)]
    return [one for field, one in (*single, *several) if one is not None and called in (field, snake(type(one).__name__))]
