"""What a rendering is told to do, in one frozen, checked object that goes into the picture's metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.image import Jitter
from dreamopt.image.parametrization import Parametrization, parse_parametrization
from dreamopt.image.transform import Transform, parse_transforms
from dreamopt.optimize.optimizer import Optimizer, parse_optimizer
from dreamopt.regularizer import parse_regularizer

STEP_SIZES = {"adam": 4.0, "ascent": 2.0}
"""Grey levels per step of the optimizers given by these plain names, where `Settings.lr` is None."""
NOISE = {"fourier": 4.0, "pixels": 10.0}
"""Grey levels of noise at the start of the parametrizations given by these plain names, where `Settings.noise` is None."""
TRANSFORMS = ("rotate(between=(-6, 6))", "scale(between=(0.92, 1.08))", "noise(8)")
"""The transforms after the jitter where nothing else is said; with the blur of 0.5 the clearest by `benchmarks.quality`, and by eye."""
LAYOUT = ("layer", "zoom")
"""What a stage may say beside settings."""


@dataclass(frozen=True)
class Wake:
    """A start: so many times the noise, a spectrum falling with this power (for "fourier"), drawn with the seed plus this number."""

    factor: float = 1.0
    power: float = 1.0
    more_seed: int = 0


# Tried in turn for the targets that nothing has woken yet (a ReLU before them is closed everywhere). Of SqueezeNet's 2792
# filters and classes here, the first wakes 80 of 100, strong smooth blobs of colour most of the rest, all of these 97.
WAKING = (Wake(), *(Wake(12.0, 2.0, seed) for seed in range(6)), *(Wake(36.0, 1.0, seed) for seed in range(4)), Wake(12.0, 0.0))


@dataclass(frozen=True)
class Settings:
    """Everything but the net and the targets that decides a rendering.

    Optimizer, parametrization, regularizers and transforms are strings as `dreamopt.parts.calls` reads them: ``"adam"``,
    ``"ascent(1.5, norm='mean')"``, ``"pixels(noise=20)"``, ``"total_variation(1e-5)"``, ``"lucid"``.

    Parameters
    ----------
    size : int or (int, int) or None
        Pixels of a side, or (H, W); None: that of ``init`` where the net can take it, else the size in the net's file.
    usual_size : int or None
        Pixels of a side where neither ``size`` nor ``init`` says it and the net can take it: what a preset was made for.
    steps : int
        At least 1, of each octave or stage. More steps sharpen and saturate.
    optimizer : str
        For instance "adam", or "ascent" for steps of the gradient over its mean size (DeepDream's).
    lr : float or None
        The optimizer's step size, above 0, in grey levels (of 255); None: 4 for "adam", 2 for "ascent", else the optimizer's own.
    seed : int
        At least 0.
    parametrization : str
        What is searched: "fourier", the image's spectrum, or "pixels", or another of `dreamopt.image`.
    noise : float or None
        Spread of the start about the mean colour in grey levels; None: 4 for "fourier", 10 for "pixels", 0 with ``init``, else
        the parametrization's own.
    init : str or None
        File of a picture to start from.
    jitter : int
        The image is rolled by up to so many pixels before every step; 0: not at all.
    transforms : tuple of str
        After the jitter: by default turns, sizes and noise, so that only what survives them is drawn. () for none.
    views : int
        How many differently transformed views of the image each step averages over.
    tv, l2 : float
        Weights of the penalties on the sums of squared differences and of squares, in units of the target per square of the
        net's input (a squared grey level where its scale is 1); 0: none.
    decay : float
        Part of the distance to the mean colour that goes after every step, from 0 to below 1.
    blur : float
        Gaussian blur after every fourth step, in pixels at the start, falling evenly to a fifth of that at the end; 0: none. It
        keeps the grain down that gradients favour, so that shapes come first.
    regularizers : tuple of str
        Further ones.
    redirected : int
        For so many steps at the start, gradients that ReLUs stop for a whole item are redirected (Lucid's rule); 0: not at all.
    octaves : int
        At least 1: the picture is made from small to large, each octave ``octave_scale`` times the one before, the last of ``size``.
    octave_scale : float
        Above 1.
    stages : sequence of mapping
        One after the other on the same picture; each holds settings of its own, and may hold ``layer`` (names of layers, the
        first that the net has takes the place of the target's) and ``zoom`` (the picture is enlarged so much before it).
    stretch : bool
        Whether the picture is shown with its contrast stretched about middle grey, so that the faint becomes visible (as the deep
        visualization toolbox writes its pictures). The climb is the same.
    transparency : bool
        Whether the picture is clear where no gradient came to: its opacity is the sum of their sizes (MaCo's).
    batch_size : int
        Targets climbed together, at least 1. A matter of speed and memory.
    """

    size: int | tuple[int, int] | None = None
    usual_size: int | None = None
    steps: int = 256
    optimizer: str = "adam"
    lr: float | None = None
    seed: int = 0
    parametrization: str = "fourier"
    noise: float | None = None
    init: str | None = None
    jitter: int = 8
    transforms: tuple[str, ...] = TRANSFORMS
    views: int = 1
    tv: float = 0.0
    l2: float = 0.0
    decay: float = 0.0
    blur: float = 0.5
    regularizers: tuple[str, ...] = ()
    redirected: int = 0
    octaves: int = 1
    octave_scale: float = 1.4
    stages: tuple[Mapping[str, Any], ...] = ()
    stretch: bool = False
    transparency: bool = False
    batch_size: int = 8

    def __post_init__(self) -> None:
        for name in ("transforms", "regularizers"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        if isinstance(self.size, Sequence):
            object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "stages", tuple(dict(stage) for stage in self.stages))
        least = {"steps": 1, "batch_size": 1, "views": 1, "octaves": 1}
        least |= dict.fromkeys(("seed", "jitter", "tv", "l2", "decay", "blur", "redirected"), 0)
        for name, low in least.items():
            if not getattr(self, name) >= low:
                raise UsageError(f"{name} must be at least {low}, not {getattr(self, name)}")
        if self.usual_size is not None and self.usual_size < 1:
            raise UsageError(f"usual_size must be at least 1 pixel, not {self.usual_size}")
        if not self.octave_scale > 1:
            raise UsageError(f"octave_scale must be above 1, not {self.octave_scale}")
        if self.octaves > 1 and self.stages:
            raise UsageError("octaves and stages cannot be combined: stages grow the picture by their zoom")
        for number, stage in enumerate(self.stages):
            wrong = sorted(set(stage) - {*LAYOUT, *STAGED})
            if wrong:
                raise UsageError(f"stage {number} has no setting {wrong[0]!r}; a stage has {', '.join([*LAYOUT, *STAGED])}")
        # Made once here, so that what is wrong in a string is said before anything is loaded.
        for one in (self, *(self.stage(number) for number in range(len(self.stages)))):
            one.make_optimizer()
            one.make_parametrization(WAKING[0])
            one.make_transforms()
            for text in one.make_regularizers():
                parse_regularizer(text)

    def stage(self, number: int) -> Settings:
        """Return the settings of one stage; without stages those of the one there is."""
        if not self.stages:
            return self
        own = {key: value for key, value in self.stages[number].items() if key not in LAYOUT}
        return dataclasses.replace(self, stages=(), **own)

    @property
    def climbs(self) -> int:
        """How many climbs follow each other: octaves or stages."""
        return max(self.octaves, len(self.stages))

    @property
    def total_steps(self) -> int:
        """Steps of all climbs together."""
        return sum(self.stage(number).steps for number in range(len(self.stages))) if self.stages else self.octaves * self.steps

    @property
    def step_size(self) -> float | None:
        """The optimizer's step size where these settings say it; None where it is the optimizer's own."""
        return STEP_SIZES.get(self.optimizer) if self.lr is None else self.lr

    @property
    def start_noise(self) -> float | None:
        """Grey levels of noise at the start where these settings say it; None where it is the parametrization's own."""
        if self.noise is None and self.init is not None:
            return 0.0
        return NOISE.get(self.parametrization) if self.noise is None else self.noise

    def make_optimizer(self) -> Optimizer:
        """Return the optimizer."""
        made = parse_optimizer(self.optimizer)
        return made if self.step_size is None else _with(made, "step_size", self.step_size, "lr", self.optimizer)

    def make_parametrization(self, wake: Wake) -> Parametrization:
        """Return what is searched, with the start's spread."""
        made = parse_parametrization(self.parametrization)
        noise = self.start_noise
        if noise is not None and self.init is None:
            # Louder starts are louder than a start without noise, too.
            louder = noise * wake.factor if wake == WAKING[0] else max(noise, NOISE["pixels"]) * wake.factor
            made = _with(made, "noise", louder, "noise", self.parametrization)
        # The power shapes the start alone: the climb goes on in the spectrum of the settings.
        return dataclasses.replace(made, power=wake.power) if self.parametrization == "fourier" else made  # type: ignore[type-var]

    def make_transforms(self) -> list[Transform]:
        """Return the transforms."""
        more = [transform for text in self.transforms for transform in parse_transforms(text)]
        return [Jitter(self.jitter), *more] if self.jitter else more

    def make_regularizers(self) -> list[str]:
        """Return the regularizers' strings."""
        made = [("total_variation({!r})", self.tv), ("l2({!r})", self.l2), ("decay({!r})", self.decay)]
        texts = [text.format(float(weight)) for text, weight in made if weight]
        if self.blur:
            texts.append(f"gaussian_blur(Linear({float(self.blur)!r}, {self.blur / 5!r}), every=4)")
        return texts + list(self.regularizers)

    def describe(self) -> dict[str, Any]:
        """Return all settings with defaults filled in, fit for JSON."""
        told = asdict(self) | {"lr": self.step_size, "noise": self.start_noise}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in told.items()}


STAGED = ("steps", "optimizer", "lr", "jitter", "transforms", "views", "tv", "l2", "decay", "blur", "regularizers")
"""Settings that a stage may have of its own."""


def _with(part: Any, field: str, value: float, option: str, text: str) -> Any:
    names = [known.name for known in dataclasses.fields(part) if known.init]
    if field not in names:
        raise UsageError(f"{option} was given, but {text} has no {field}; it has {', '.join(names) or 'nothing'}")
    return dataclasses.replace(part, **{field: value})
