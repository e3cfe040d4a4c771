"""Settings: everything but the net and the targets that decides an image, as parts and checked numbers."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

from dreamopt.backends.base import BackwardRule
from dreamopt.errors import DreamoptError, UsageError
from dreamopt.image import Noise, Rotate, Scale
from dreamopt.image.channels import checked_channels
from dreamopt.image.parametrization import Parametrization
from dreamopt.image.transform import Transform
from dreamopt.optimize.optimizer import Optimizer
from dreamopt.parts.arguments import check_seed, check_several
from dreamopt.parts.brief import brief
from dreamopt.parts.checks import FRACTION, NOT_NEGATIVE, SIDE, Fields, Range, check_number, check_whole, several, shown
from dreamopt.recipes.shorthand import (
    RANGES,
    Listed,
    as_optimizer,
    as_parametrization,
    as_regularizers,
    as_rule,
    as_transforms,
    checked_numbers,
    with_number,
)
from dreamopt.recipes.stage_settings import (
    STAGED,
    StageSettings,
    as_stage,
    changed,
    described_run,
    fields_of,
    ordered,
    read_parts,
    replaced,
    run_of,
)
from dreamopt.regularizer import Regularizer, Rows

TRANSFORMS: tuple[Transform, ...] = (Rotate(between=(-6, 6)), Scale(between=(0.92, 1.08)), Noise(8))
"""The transforms after the jitter where nothing else is said."""
SHOWN = ("mask", "strength", "original_colors", "blend", "contrast")
"""Settings of where an image may change, and of how it is shown beside the init image."""
DEFAULTS: Mapping[str, float] = {"decay": 0.0005, "blur": 0.8, "jitter": 8}
"""The short options' numbers where they are not given; how they were chosen: docs/bench.md."""
NO_DEFAULTS: Mapping[str, int] = dict.fromkeys(DEFAULTS, 0)
"""What settings say whose regularizers and transforms are all listed."""


@dataclass(frozen=True)
class Settings:
    """Everything but the net and the targets that decides an image.

    Parts may be given as the strings that `dreamopt.parts.calls` reads (``"ascent(1.5, norm='mean')"``, ``"pixels(noise=20)"``,
    ``"total_variation(1e-5)"``, ``"lucid"``); they are read once. The short options make parts: ``tv``, ``l2`` and ``decay`` a
    `TotalVariation`, `L2` and `Decay` (0.0005 where it is not given and the parametrization has an inverse); ``blur`` (0.8) a
    `GaussianBlur` every fourth step that falls evenly to a fifth; ``jitter`` (8) the first transform; ``lr`` is the optimizer's step size,
    and ``noise`` the parametrization's, or with ``init`` is ``init_noise``.

    Parameters
    ----------
    size : int or (int, int) or None
        Pixels of a side, or (H, W); None: that of ``init`` where the net can take it, else the size in the net's file.
    default_size : int or None
        Pixels of a side where neither ``size`` nor ``init`` says it and the net can take it: what a preset was made for.
    steps : int
        At least 1, of each octave or stage. More steps sharpen and saturate.
    optimizer : Optimizer or str
        For instance "adam" (steps of 32 grey levels that fall to 1, beta1 0.5), or "ascent" (2) for steps of the gradient over its mean
        size (DeepDream's).
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
    rule : BackwardRule, str, a sequence of these, or None
        Backward rules by which gradients go back through the net in all stages, as "guided", "deconvnet" or "ReLU: guided, conv1: z_plus";
        "none" or None: the derivative. Where ``redirected`` is above 0 too, it counts at the layers to which no rule here applies.
    octaves : int
        At least 1: the image is made from small to large, each octave ``octave_scale`` times the one before, the last of ``size``.
    octave_scale : float
        Above 1.
    stages : sequence of mapping
        One after the other on the same image; each holds settings of its own (steps, optimizer, transforms, views, regularizers and
        short options; what it does not hold is that of the settings), and may hold ``target`` (what is maximised in it), ``layer`` (names
        of layers, the first that the net has takes the place of the target's) and ``zoom`` (the image is enlarged so much before it). As a
        field, `StageSettings`. With ``octaves`` they are those of the octaves, from the smallest on, without zooms; the last goes on where
        there are more octaves.
    mask : str or None
        File of an image: the step acts where it is white, not where it is black, and by parts where it is grey
        (`dreamopt.regularizers.Masked`). It is scaled with the image. Outside, an init image's pixels come back exactly.
    strength : float or str
        How much of each step is taken, from 0 to 1, or a file with the strength of each place, as ``mask``.
    original_colors : bool
        Whether the image is shown with the init image's colours: its own luminance (Y of ITU-R 601), the init image's chrominance (U, V).
    blend : float
        How much of the init image is shown in the image, from 0 (none) to 1 (that alone).
    contrast : float or None
        A percentile, above 0 to 100, which is shown as white: levels are multiplied by 255 over the percentile of all. 99.98 is DeepDream's
        for images that were not cut to black and white.
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
    batch_size : int or str
        Samples optimized together, at least 1: a matter of speed and memory. "auto" measures it where the work is long (a minute and
        more), once for a net and a machine (`dreamopt.recipes.batch_size`), and else is 8.

    Examples
    --------
    >>> print(*Settings(tv=0.25, jitter=0, transforms=()).regularizers)
    TotalVariation(0.25) Decay(0.0005) GaussianBlur(Linear(0.8, 0.16), every=4)
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
    rule: BackwardRule | None = None
    octaves: int = 1
    octave_scale: float = 1.4
    stages: tuple[StageSettings, ...] = ()
    stretch: bool = False
    transparency: bool = False
    mask: str | None = None
    strength: float | str = 1.0
    original_colors: bool = False
    blend: float = 0.0
    contrast: float | None = None
    channels: str = "auto"
    depth: int | str = "auto"
    batch_size: int | str = "auto"
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
        parametrization = as_parametrization(self.parametrization)
        defaults = dict(DEFAULTS) if fresh else {}
        if fresh and not parametrization.invertible:  # it takes no projection, and nobody has asked for this one
            del defaults["decay"]
        run = changed(run, defaults | numbers)
        if not isinstance(self.stages, Sequence) or not all(isinstance(stage, StageSettings | Mapping) for stage in self.stages):
            raise UsageError(f"stages must be a list of mappings, one for each stage, not {self.stages!r}")
        stages = tuple(as_stage(stage, number, run, numbers) for number, stage in enumerate(self.stages))
        if noise is not None and self.init is not None:
            object.__setattr__(self, "init_noise", noise)
        elif noise is not None:
            parametrization = with_number(parametrization, "noise", noise, "noise")
        for name, value in (fields_of(run) | {"parametrization": parametrization, "stages": stages}).items():
            object.__setattr__(self, name, value)
        if self.octaves > 1 and len(self.stages) > self.octaves:
            raise UsageError(f"there are {len(self.stages)} stages for {self.octaves} octaves; give one for each octave at the most")
        if self.octaves > 1 and any(stage.zoom != 1 for stage in self.stages):
            raise UsageError("octaves and zooms of stages cannot be combined: octaves grow the image by octave_scale")

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
        if not (isinstance(self.batch_size, str) and self.batch_size == "auto"):
            object.__setattr__(self, "batch_size", check_whole("batch_size", self.batch_size, Range(low=1)))
        for name, low in {"steps": 1, "views": 1, "octaves": 1, "redirected": 0}.items():
            object.__setattr__(self, name, check_whole(name, getattr(self, name), Range(low=low)))
        object.__setattr__(self, "seed", check_seed("seed", self.seed))
        object.__setattr__(self, "rule", as_rule(self.rule))
        object.__setattr__(self, "octave_scale", check_number("octave_scale", self.octave_scale, Range(low=1, above=True)))
        object.__setattr__(self, "init_noise", check_number("init_noise", self.init_noise, NOT_NEGATIVE))
        for name in ("init", "mask"):
            path = getattr(self, name)
            if path is not None and not isinstance(path, str | os.PathLike):
                raise UsageError(f"{name} must be the path of an image, not {shown(path)}")
            object.__setattr__(self, name, None if path is None else os.fspath(path))
        if self.short_parts is not None:
            counts = check_several("short_parts", self.short_parts, "numbers")
            if len(counts) != 2:
                raise UsageError(f"short_parts must be two numbers, not {shown(self.short_parts)}")
            object.__setattr__(self, "short_parts", tuple(check_whole("short_parts", count, NOT_NEGATIVE) for count in counts))
        if isinstance(self.strength, os.PathLike | str):
            object.__setattr__(self, "strength", os.fspath(self.strength))
        else:
            object.__setattr__(self, "strength", check_number("strength", self.strength, FRACTION))
        object.__setattr__(self, "blend", check_number("blend", self.blend, FRACTION))
        if self.contrast is not None:
            object.__setattr__(self, "contrast", check_number("contrast", self.contrast, Range(0, 100, above=True)))
        Fields(self).flag("stretch", "transparency", "original_colors")
        object.__setattr__(self, "channels", checked_channels(self.channels))
        object.__setattr__(self, "depth", _checked_depth(self.depth))

    @property
    def runs(self) -> int:
        """How many runs of the optimizer follow each other: octaves or stages."""
        return max(self.octaves, len(self.stages))

    @property
    def total_steps(self) -> int:
        """Steps of all octaves or stages together."""
        return sum(self.stage(number).steps for number in range(self.runs))

    @property
    def masks(self) -> tuple[str | Rows, ...]:
        """The maps by whose product each step is bounded: files, and rows of numbers from 0 to 1."""
        own: str | Rows = self.strength if isinstance(self.strength, str) else ((self.strength,),)
        return (*(() if self.mask is None else (self.mask,)), *(() if self.strength == 1 else (own,)))

    def stage(self, number: int) -> StageSettings:
        """Return what a stage or an octave is run with."""
        if self.stages:
            return self.stages[min(number, len(self.stages) - 1)]
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
                fields |= fields_of(changed(run_of(self), own))
                if "stages" not in changes:
                    fields["stages"] = [replaced(stage, changed(run_of(stage), own)) for stage in self.stages]
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
        described = {name: getattr(self, name) for name in (*plain, "stretch", "transparency", *SHOWN, "channels", "depth", "batch_size")}
        if isinstance(self.size, tuple):
            described["size"] = list(self.size)
        described |= described_run(self) | {"parametrization": str(self.parametrization)}
        described |= {} if self.rule is None else {"rule": str(self.rule)}
        return described | {"stages": [stage.describe() for stage in self.stages]}

    def __repr__(self) -> str:
        """Return one line: what differs from the default settings."""
        usual = Settings().describe()
        differs = (f"{name}={value}" for name, value in self.describe().items() if value != usual.get(name))
        return brief("Settings", "", ", ".join(differs) or "all as by default")

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> Settings:
        """Return the settings that `describe` described."""
        stages = [
            stage if isinstance(stage, StageSettings) else StageSettings(**read_parts(stage)) for stage in described.get("stages", ())
        ]
        return cls(**read_parts(described) | {"stages": stages, "short_parts": (0, 0)})


def _checked_depth(depth: object) -> int | str:
    known: dict[object, int | str] = {"auto": "auto", "8": 8, "16": 16, 8: 8, 16: 16}
    if isinstance(depth, bool) or not isinstance(depth, int | str) or depth not in known:
        raise UsageError(f"depth must be auto, 8 or 16, not {shown(depth)}")
    return known[depth]


def names() -> list[str]:
    """Return the names of all settings, the short options among them."""
    return [known.name for known in dataclasses.fields(Settings) if known.name != "short_parts"] + list(RANGES)
