"""What a rendering is told to do, in one frozen, checked object that goes into the picture's metadata."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from dreamopt.errors import UsageError
from dreamopt.image.parametrization import Parametrization
from dreamopt.image.parametrizations.fourier import Fourier
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.image.transform import Transform
from dreamopt.image.transforms.jitter import Jitter
from dreamopt.optimize import Adam, Ascent
from dreamopt.optimizer import Optimizer

STEP_SIZES = {"adam": 4.0, "ascent": 2.0}
"""Grey levels per step where `Settings.lr` is None."""
NOISE = {"fourier": 4.0, "pixels": 10.0}
"""Grey levels of noise at the start where `Settings.noise` is None."""


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

    Parameters
    ----------
    size : int or (int, int) or None
        Pixels of a side, or (H, W); None: the size in the net's file.
    steps : int
        At least 1. More steps sharpen and saturate.
    optimizer : {"adam", "ascent"}
        Adam, or ascent by the gradient over its mean size (DeepDream's step).
    lr : float or None
        Grey levels (of 255) per step, above 0; None: 4 for Adam, 2 for ascent.
    seed : int
        At least 0.
    parametrization : {"fourier", "pixels"}
        What is searched: the image's spectrum, or its pixels.
    noise : float or None
        Spread of the start about the mean colour in grey levels; None: 4 for "fourier", 10 for "pixels".
    jitter : int
        The image is rolled by up to so many pixels before every step; 0: not at all.
    tv, l2 : float
        Weights of the penalties on the sums of squared differences and of squares, in units of the target per square of the
        net's input (a squared grey level where its scale is 1); 0: none.
    decay : float
        Part of the distance to the mean colour that goes after every step, from 0 to below 1.
    blur : float
        Gaussian blur after every fourth step, in pixels at the start, falling evenly to a fifth of that at the end; 0: none. It
        keeps the grain down that gradients favour, so that shapes come first.
    regularizers : tuple of str
        Further ones, as `dreamopt.grammar.parse_regularizer` reads them.
    batch_size : int
        Targets climbed together, at least 1. A matter of speed and memory.
    """

    size: int | tuple[int, int] | None = None
    steps: int = 256
    optimizer: Literal["adam", "ascent"] = "adam"
    lr: float | None = None
    seed: int = 0
    parametrization: Literal["fourier", "pixels"] = "fourier"
    noise: float | None = None
    jitter: int = 8
    tv: float = 0.0
    l2: float = 0.0
    decay: float = 0.0
    blur: float = 1.0
    regularizers: tuple[str, ...] = ()
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.optimizer not in STEP_SIZES:
            raise UsageError(f"the optimizer must be {' or '.join(STEP_SIZES)}, not '{self.optimizer}'")
        if self.parametrization not in NOISE:
            raise UsageError(f"the parametrization must be {' or '.join(NOISE)}, not '{self.parametrization}'")
        for name, least in (("steps", 1), ("batch_size", 1), ("seed", 0), ("jitter", 0), ("tv", 0), ("l2", 0), ("decay", 0), ("blur", 0)):
            if not getattr(self, name) >= least:
                raise UsageError(f"{name} must be at least {least}, not {getattr(self, name)}")

    @property
    def step_size(self) -> float:
        """Grey levels per step."""
        return STEP_SIZES[self.optimizer] if self.lr is None else self.lr

    @property
    def start_noise(self) -> float:
        """Grey levels of noise at the start."""
        return NOISE[self.parametrization] if self.noise is None else self.noise

    def make_optimizer(self) -> Optimizer:
        """Return the optimizer."""
        return Adam(self.step_size) if self.optimizer == "adam" else Ascent(self.step_size)

    def make_parametrization(self, wake: Wake) -> Parametrization:
        """Return what is searched, with the start's spread."""
        noise = self.start_noise * wake.factor
        # The power shapes the start alone: the climb goes on in the spectrum of `Fourier()`.
        return Fourier(noise=noise, power=wake.power) if self.parametrization == "fourier" else Pixels(noise=noise)

    def make_transforms(self) -> list[Transform]:
        """Return the transforms."""
        return [Jitter(self.jitter)] if self.jitter else []

    def make_regularizers(self) -> list[str]:
        """Return the regularizers' strings."""
        made = [("total_variation({!r})", self.tv), ("l2({!r})", self.l2), ("decay({!r})", self.decay)]
        texts = [text.format(float(weight)) for text, weight in made if weight]
        if self.blur:
            texts.append(f"gaussian_blur(Linear({float(self.blur)!r}, {self.blur / 5!r}), every=4)")
        return texts + list(self.regularizers)

    def describe(self) -> dict[str, Any]:
        """Return all settings with defaults filled in, fit for JSON."""
        size = list(self.size) if isinstance(self.size, tuple) else self.size
        return asdict(self) | {"size": size, "lr": self.step_size, "noise": self.start_noise, "regularizers": list(self.regularizers)}
