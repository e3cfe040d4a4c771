"""Settings: everything but the net and the targets that decides an image, as parts and checked numbers."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

from dreamopt.errors import DreamoptError, UsageError
from dreamopt.image import Noise, Rotate, Scale
from dreamopt.image.channels import checked_channels
from dreamopt.image.parametrization import Parametrization
from dreamopt.image.transform import Transform
from dreamopt.optimize.optimizer import Optimizer
from dreamopt.parts.arguments import check_seed, check_several
from dreamopt.parts.checks import NOT_NEGATIVE, POSITIVE, SIDE, Fields, Range, check_number, check_whole, several, shown
from dreamopt.recipes.shorthand import (
    RANGES,
    REGULARIZERS,
    Listed,
    as_optimizer,
    as_parametrization,
    as_regularizers,
    as_transforms,
    checked_numbers,
    with_jitter,
    with_number,
    with_regularizer,
)
from dreamopt.regularizer import Penalty, Regularizer

TRANSFORMS: tuple[Transform, ...] = (Rotate(between=(-6, 6)), Scale(between=(0.92, 1.08)), Noise(8))
"""The transforms after the jitter where nothing else is said; with the blur of 0.5 the clearest by `benchmarks.quality`, and by eye."""
DEFAULTS: Mapping[str, float] = {"blur": 0.5, "jitter": 8}
"""The short options' numbers where they are not given."""
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
    """

    steps: int
    optimizer: Optimizer
    transforms: tuple[Transform, ...]
    regularizers: tuple[Regularizer, ...]
    views: int = 1
    zoom: float = 1.0
    layer: tuple[str, ...] = ()
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
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def describe(self) -> dict[str, Any]:
        """Return the stage fit for JSON, its parts as strings."""
        return _described(self) | {"zoom": self.zoom, "layer": list(self.layer)}


@dataclass(frozen=True)
class Settings:
    """Everything but the net and the targets that decides an image.

    Parts may be given as the strings that `dreamopt.parts.calls` reads (``"ascent(1.5, norm='mean')"``, ``"pixels(noise=20)"``,
    ``"total_variation(1e-5)"``, ``"lucid"``); they are read once. The short options make parts: ``tv``, ``l2`` and ``decay`` a
    `TotalVariation`, `L2` and `Decay`; ``blur`` (0.5 where it is not given) a `GaussianBlur` every fourth step that falls evenly to
    a fifth; ``jitter`` (8) the first transform; ``lr`` is the optimizer's step size, and ``noise`` the parametrization's, or with
    ``init`` is ``init_noise``.

    Parameters
    ----------
    size : int or (int, int) or None
        Pixels of a side, or (H, W); None: that of ``init`` where the net can take it, else the size in the net's file.
    default_size : int or None
        Pixels of a side where neither ``size`` nor ``init`` says it and the net can take it: what a preset was made for.
    steps : int
        At least 1, of each octave or stage. More steps sharpen and saturate.
    optimizer : Optimizer or str
        For instance "adam" (steps of 4 grey levels), or "ascent" (2) for steps of the gradient over its mean size (DeepDream's).
    seed : int
        At least 0.
    parametrization : Parametrization or str
        What is searched: "fourier", the image's spectrum, or "pixels", or another of `dreamopt.image`.
    init : str or None
        File of an image to start from.
    init_noise : float
        Spread of the noise that is added to ``init``, in grey levels, at least 0.
    transforms : sequence of Transform or str
        After the jitter: by default turns, sizes and noise, so that only what survives them is drawn. () for none. As a field, all
        transforms, the jitter first.
    views : int
        How many differently transformed views of the image each step averages over.
    regularizers : sequence of Regularizer or str
        Beside those of the short options. As a field, all regularizers.
    redirected : int
        For so many steps at the start, gradients that ReLUs stop for a whole sample are redirected (Lucid's rule); 0: not at all.
    octaves : int
        At least 1: the image is made from small to large, each octave ``octave_scale`` times the one before, the last of ``size``.
    octave_scale : float
        Above 1.
    stages : sequence of mapping
        One after the other on the same image; each holds settings of its own (steps, optimizer, transforms, views, regularizers and
        short options; what it does not hold is that of the settings), and may hold ``layer`` (names of layers, the first that the
        net has takes the place of the target's) and ``zoom`` (the image is enlarged so much before it). As a field, `StageSettings`.
    stretch : bool
        Whether the image is shown with its contrast stretched about middle grey, so that the faint becomes visible (as the deep
        visualization toolbox writes its images). The optimization is the same.
    transparency : bool
        Whether the image is transparent where the summed gradient is zero: its opacity is the sum of the gradients' sizes (MaCo's).
    channels : str
        How the net's input channels are shown: "auto" (one grey, three as colours, any other number as a grid of grey planes), "colour"
        (the first three), "planes", "flow" (pairs as optical flow), or the numbers from 0 of one channel, or of three for red, green
        and blue, as "2,1,0". See `dreamopt.image.channels`.
    depth : {"auto", 8, 16}
        Bits of each sample of the image that is written; "auto": for a dream those of its image, else 8.
    batch_size : int
        Samples optimized together, at least 1. A matter of speed and memory.

    Examples
    --------
    >>> print(*Settings(tv=0.25, jitter=0, transforms=()).regularizers)
    TotalVariation(0.25) GaussianBlur(Linear(0.5, 0.1), every=4)
    """

    size: int | tuple[int, int] | None = None
    default_size: int | None = None
    steps: int = 256
    optimizer: Optimizer = "adam"  # type: ignore[assignment]  # a string is read in __post_init__
    seed: int = 0
    parametrization: Parametrization = "fourier"  # type: ignore[assignment]  # likewise
    init: str | None = None
    init_noise: float = 0.0
    transforms: tuple[Transform, ...] = TRANSFORMS
    views: int = 1
    regularizers: tuple[Regularizer, ...] = ()
    redirected: int = 0
    octaves: int = 1
    octave_scale: float = 1.4
    stages: tuple[StageSettings, ...] = ()
    stretch: bool = False
    transparency: bool = False
    channels: str = "auto"
    depth: int | str = "auto"
    batch_size: int = 8
    short_parts: tuple[int, int] | None = field(default=None, compare=False, repr=False)
    """How many of the regularizers and of the transforms are of short options; None before these are made."""
    tv: InitVar[float | None] = None
    l2: InitVar[float | None] = None
    decay: InitVar[float | None] = None
    blur: InitVar[float | None] = None
    jitter: InitVar[int | None] = None
    lr: InitVar[float | None] = None
    noise: InitVar[float | None] = None

    def __post_init__(
        self,
        tv: float | None,
        l2: float | None,
        decay: float | None,
        blur: float | None,
        jitter: int | None,
        lr: float | None,
        noise: float | None,
    ) -> None:
        self._check_numbers()
        options = {"tv": tv, "l2": l2, "decay": decay, "blur": blur, "jitter": jitter, "lr": lr, "noise": noise}
        numbers = checked_numbers(options)
        noise = numbers.pop("noise", None)
        fresh = self.short_parts is None
        short = (0, 0) if self.short_parts is None else self.short_parts
        run = {
            "steps": self.steps,
            "views": self.views,
            "optimizer": as_optimizer(self.optimizer),
            "regularizers": Listed(as_regularizers(self.regularizers), short[0]),
            "transforms": Listed(as_transforms(self.transforms), short[1]),
        }
        run = _changed(run, (dict(DEFAULTS) if fresh else {}) | numbers)
        if not isinstance(self.stages, Sequence) or not all(isinstance(stage, StageSettings | Mapping) for stage in self.stages):
            raise UsageError(f"stages must be a list of mappings, one for each stage, not {self.stages!r}")
        stages = tuple(_stage(stage, number, run, numbers) for number, stage in enumerate(self.stages))
        parametrization = as_parametrization(self.parametrization)
        if noise is not None and self.init is not None:
            object.__setattr__(self, "init_noise", noise)
        elif noise is not None:
            parametrization = with_number(parametrization, "noise", noise, "noise")
        for name, value in (_fields(run) | {"parametrization": parametrization, "stages": stages}).items():
            object.__setattr__(self, name, value)
        if self.octaves > 1 and self.stages:
            raise UsageError("octaves and stages cannot be combined: stages grow the image by their zoom")

    def _check_numbers(self) -> None:
        both = several(self.size)
        if both is not None:
            if len(both) != 2:
                raise UsageError(f"size must be a number of pixels or (height, width), not {shown(self.size)}")
            object.__setattr__(self, "size", tuple(check_whole("size", side, SIDE) for side in both))
        elif self.size is not None:
            object.__setattr__(self, "size", check_whole("size", self.size, SIDE))
        if self.default_size is not None:
            object.__setattr__(self, "default_size", check_whole("default_size", self.default_size, SIDE))
        for name, low in {"steps": 1, "batch_size": 1, "views": 1, "octaves": 1, "redirected": 0}.items():
            object.__setattr__(self, name, check_whole(name, getattr(self, name), Range(low=low)))
        object.__setattr__(self, "seed", check_seed("seed", self.seed))
        object.__setattr__(self, "octave_scale", check_number("octave_scale", self.octave_scale, Range(low=1, above=True)))
        object.__setattr__(self, "init_noise", check_number("init_noise", self.init_noise, NOT_NEGATIVE))
        if self.init is not None:
            if not isinstance(self.init, str | os.PathLike):
                raise UsageError(f"init must be the path of an image, not {shown(self.init)}")
            object.__setattr__(self, "init", os.fspath(self.init))
        if self.short_parts is not None:
            counts = check_several("short_parts", self.short_parts, "numbers")
            if len(counts) != 2:
                raise UsageError(f"short_parts must be two numbers, not {shown(self.short_parts)}")
            object.__setattr__(self, "short_parts", tuple(check_whole("short_parts", count, NOT_NEGATIVE) for count in counts))
        Fields(self).flag("stretch", "transparency")
        object.__setattr__(self, "channels", checked_channels(self.channels))
        object.__setattr__(self, "depth", _checked_depth(self.depth))

    @property
    def runs(self) -> int:
        """How many runs of the optimizer follow each other: octaves or stages."""
        return max(self.octaves, len(self.stages))

    @property
    def total_steps(self) -> int:
        """Steps of all octaves or stages together."""
        return sum(stage.steps for stage in self.stages) if self.stages else self.octaves * self.steps

    def stage(self, number: int) -> StageSettings:
        """Return what a stage is run with; without stages what each octave is."""
        if self.stages:
            return self.stages[number]
        return StageSettings(self.steps, self.optimizer, self.transforms, self.regularizers, self.views)

    def with_changes(self, changes: Mapping[str, Any]) -> Settings:
        """Return settings with some of the constructor's arguments given anew, in every stage too.

        Regularizers and transforms that are given take the place of those that were listed; those of short options stay.

        Raises
        ------
        UsageError
            For an unknown setting, or a value that does not fit.
        """
        unknown = sorted(set(changes) - set(names()))
        if unknown:
            raise UsageError(f"there is no setting {unknown[0]!r}; there are {', '.join(names())}")
        fields = dict(changes)
        try:
            own = {key: fields[key] for key in fields if key in STAGED}
            if own:
                fields |= _fields(_changed(_run(self), own))
                if "stages" not in changes:
                    fields["stages"] = [_replaced(stage, _changed(_run(stage), own)) for stage in self.stages]
            return dataclasses.replace(self, **fields)
        except (TypeError, ValueError) as problem:
            if isinstance(problem, DreamoptError):
                raise
            values = ", ".join(f"{key} = {value!r}" for key, value in changes.items())
            raise UsageError(f"{values} is of the wrong kind: {problem}") from problem

    def resolved(self, size: tuple[int, int]) -> Settings:
        """Return the settings of a plan: the size known, and regularizers in the order that decides an image."""
        stages = tuple(dataclasses.replace(stage, regularizers=ordered(stage.regularizers)) for stage in self.stages)
        own = ordered(self.regularizers)
        return dataclasses.replace(self, size=size, default_size=None, regularizers=own, stages=stages)

    def describe(self) -> dict[str, Any]:
        """Return all settings fit for JSON, parts as strings, penalties before projections."""
        plain = ("size", "default_size", "seed", "init", "init_noise", "redirected", "octaves", "octave_scale")
        described = {name: getattr(self, name) for name in (*plain, "stretch", "transparency", "channels", "depth", "batch_size")}
        if isinstance(self.size, tuple):
            described["size"] = list(self.size)
        described |= _described(self) | {"parametrization": str(self.parametrization)}
        return described | {"stages": [stage.describe() for stage in self.stages]}

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> Settings:
        """Return the settings that `describe` described."""
        stages = [stage if isinstance(stage, StageSettings) else StageSettings(**_read(stage)) for stage in described.get("stages", ())]
        return cls(**_read(described) | {"stages": stages, "short_parts": (0, 0)})


def _checked_depth(depth: object) -> int | str:
    known: dict[object, int | str] = {"auto": "auto", "8": 8, "16": 16, 8: 8, 16: 16}
    if isinstance(depth, bool) or not isinstance(depth, int | str) or depth not in known:
        raise UsageError(f"depth must be auto, 8 or 16, not {shown(depth)}")
    return known[depth]


def names() -> list[str]:
    """Return the names of all settings, the short options among them."""
    return [known.name for known in dataclasses.fields(Settings) if known.name != "short_parts"] + list(RANGES)


def _run(settings: Settings | StageSettings) -> dict[str, Any]:
    """Return what a run is made with, regularizers and transforms as `Listed`."""
    short = settings.short_parts or (0, 0)
    return {
        "steps": settings.steps,
        "views": settings.views,
        "optimizer": settings.optimizer,
        "regularizers": Listed(settings.regularizers, short[0]),
        "transforms": Listed(settings.transforms, short[1]),
    }


def _fields(run: Mapping[str, Any]) -> dict[str, Any]:
    listed = {name: run[name].parts for name in ("regularizers", "transforms")}
    return {**run, **listed, "short_parts": (run["regularizers"].short, run["transforms"].short)}


def _changed(run: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
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


def _stage(stage: StageSettings | Mapping[str, Any], number: int, base: Mapping[str, Any], numbers: Mapping[str, Any]) -> StageSettings:
    if isinstance(stage, StageSettings):
        return _replaced(stage, _changed(_run(stage), numbers))
    known = (*STAGED, *_OPTIONS, "layer", "zoom")
    wrong = sorted(set(stage) - set(known))
    if wrong:
        raise UsageError(f"stage {number} has no setting {wrong[0]!r}; a stage has {', '.join(known)}")
    own = {**stage, **checked_numbers({name: stage[name] for name in _OPTIONS if name in stage})}
    if "optimizer" in own:
        own.setdefault("lr", numbers.get("lr"))
    layout = {name: stage[name] for name in ("zoom", "layer") if name in stage}
    return StageSettings(**_fields(_changed(base, own)), **layout)


def _replaced(stage: StageSettings, run: Mapping[str, Any]) -> StageSettings:
    return dataclasses.replace(stage, **_fields(run))


def _described(settings: Settings | StageSettings) -> dict[str, Any]:
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


def _read(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description's fields, strings as parts; plain names stand for the parts alone."""
    read = dict(described)
    if "transforms" in read:
        read["transforms"] = as_transforms(read["transforms"])
        read["regularizers"] = as_regularizers(read["regularizers"])
        read["optimizer"] = as_optimizer(read["optimizer"])
    return read
