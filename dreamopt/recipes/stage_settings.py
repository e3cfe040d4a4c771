"""The settings of one stage, and what stages and settings share: the run that their parts make."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dreamopt.errors import UsageError
from dreamopt.image.transform import Transform
from dreamopt.objective import Objective, as_objective
from dreamopt.optimize.optimizer import Optimizer
from dreamopt.parts.checks import POSITIVE, check_number, check_whole, several, shown
from dreamopt.parts.spelling import lacks
from dreamopt.recipes.shorthand import (
    RANGES,
    REGULARIZERS,
    Listed,
    as_optimizer,
    as_regularizers,
    as_transforms,
    checked_numbers,
    with_jitter,
    with_number,
    with_regularizer,
)
from dreamopt.regularizer import Penalty, Regularizer

if TYPE_CHECKING:
    from dreamopt.recipes.settings import Settings

STAGED = ("steps", "optimizer", "transforms", "views", "regularizers")
"""Settings that a stage may have of its own, beside short options, ``zoom`` and ``layer``."""
_OPTIONS = tuple(name for name in RANGES if name != "noise")


@dataclass(frozen=True)
class StageSettings:
    """What one stage is run with; the fields as those of `Settings`.

    Parameters
    ----------
    steps, optimizer, transforms, regularizers, views
        As in `Settings`.
    zoom : float
        The image is enlarged so much before the stage, above 0.
    layer : tuple of str
        Names of layers, the first that the net has takes the place of the target's.
    target : Objective, str or None
        What is maximised in the stage instead of the job's target.
    """

    steps: int
    optimizer: Optimizer
    transforms: tuple[Transform, ...]
    regularizers: tuple[Regularizer, ...]
    views: int = 1
    zoom: float = 1.0
    layer: tuple[str, ...] = ()
    target: Objective | None = None
    short_parts: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)

    def __post_init__(self) -> None:
        layer: object = self.layer  # from outside, whatever its annotation
        layers = (layer,) if isinstance(layer, str) else several(layer)
        if layers is None or not all(isinstance(layer, str) and layer for layer in layers):
            raise UsageError(f"layer of a stage must be a layer's name, or several of them, not {shown(self.layer)}")
        checked = {
            "steps": check_whole("steps", self.steps),
            "views": check_whole("views", self.views),
            "zoom": check_number("zoom of a stage", self.zoom, POSITIVE),
            "optimizer": as_optimizer(self.optimizer),
            "transforms": as_transforms(self.transforms),
            "regularizers": as_regularizers(self.regularizers),
            "layer": layers,
            "target": None if self.target is None else as_objective(self.target),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def describe(self) -> dict[str, Any]:
        """Return the stage fit for JSON, its parts as strings."""
        own = {} if self.target is None else {"target": str(self.target)}
        return described_run(self) | {"zoom": self.zoom, "layer": list(self.layer)} | own


def run_of(settings: Settings | StageSettings) -> dict[str, Any]:
    """Return what a run is made with, regularizers and transforms as `Listed`."""
    short = settings.short_parts or (0, 0)
    return {
        "steps": settings.steps,
        "views": settings.views,
        "optimizer": settings.optimizer,
        "regularizers": Listed(settings.regularizers, short[0]),
        "transforms": Listed(settings.transforms, short[1]),
    }


def fields_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run as fields of settings or of a stage."""
    listed = {name: run[name].parts for name in ("regularizers", "transforms")}
    return {**run, **listed, "short_parts": (run["regularizers"].short, run["transforms"].short)}


def changed(run: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run is made with, changed by settings of a stage and by numbers of short options."""
    new = {**run, **{name: changes[name] for name in ("steps", "views") if name in changes}}
    if "optimizer" in changes:
        new["optimizer"] = as_optimizer(changes["optimizer"])
    if "regularizers" in changes:
        new["regularizers"] = new["regularizers"].with_listed(as_regularizers(changes["regularizers"]))
    if "transforms" in changes:
        new["transforms"] = new["transforms"].with_listed(as_transforms(changes["transforms"]))
    for option in REGULARIZERS:
        if option in changes:
            new["regularizers"] = with_regularizer(new["regularizers"], option, changes[option])
    if "jitter" in changes:
        new["transforms"] = with_jitter(new["transforms"], changes["jitter"])
    if changes.get("lr") is not None:
        new["optimizer"] = with_number(new["optimizer"], "step_size", changes["lr"], "lr")
    return new


def as_stage(stage: StageSettings | Mapping[str, Any], number: int, base: Mapping[str, Any], numbers: Mapping[str, Any]) -> StageSettings:
    """Return a stage that was given by its own settings, with those of ``base`` and the short options' numbers for all others."""
    if isinstance(stage, StageSettings):
        return replaced(stage, changed(run_of(stage), numbers))
    known = (*STAGED, *_OPTIONS, "layer", "target", "zoom")
    wrong = sorted(map(str, set(stage) - set(known)))
    if wrong:
        raise UsageError(lacks(f"stage {number}", wrong[0], known, "setting"))
    own = {**stage, **checked_numbers({name: stage[name] for name in _OPTIONS if name in stage})}
    if "optimizer" in own:
        own.setdefault("lr", numbers.get("lr"))
    layout = {name: stage[name] for name in ("zoom", "layer", "target") if name in stage}
    return StageSettings(**fields_of(changed(base, own)), **layout)


def replaced(stage: StageSettings, run: Mapping[str, Any]) -> StageSettings:
    """Return a stage with another run."""
    return dataclasses.replace(stage, **fields_of(run))


def described_run(settings: Settings | StageSettings) -> dict[str, Any]:
    """Return what a run is made with, fit for JSON."""
    return {
        "steps": settings.steps,
        "optimizer": str(settings.optimizer),
        "transforms": [str(part) for part in settings.transforms],
        "views": settings.views,
        "regularizers": [str(part) for part in ordered(settings.regularizers)],
    }


def ordered(regularizers: Sequence[Regularizer]) -> tuple[Regularizer, ...]:
    """Return penalties, then projections, each in their order: the one order that decides an image."""
    return (
        *(part for part in regularizers if isinstance(part, Penalty)),
        *(part for part in regularizers if not isinstance(part, Penalty)),
    )


def read_parts(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description's fields, strings as parts; plain names stand for the parts alone."""
    read = dict(described)
    if "transforms" in read:
        read["transforms"] = as_transforms(read["transforms"])
        read["regularizers"] = as_regularizers(read["regularizers"])
        read["optimizer"] = as_optimizer(read["optimizer"])
    return read
