"""The plan of a film: which frames of which source are dreamed, each with which plan, and how they hang together."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from dreamopt.errors import FilmError, UsageError
from dreamopt.film.carried import Carried
from dreamopt.film.encoding import Encoding
from dreamopt.film.folder import FrameFolder
from dreamopt.film.frames import Film
from dreamopt.film.library import opencv
from dreamopt.film.sources import Source, open_source
from dreamopt.film.temporal import Begin, Temporal
from dreamopt.image.loaded import LoadedImage
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.parts.arguments import check_kind
from dreamopt.parts.checks import COUNT, NOT_NEGATIVE, Fields, Range, check_number, check_whole, shown
from dreamopt.parts.part import file_sha256
from dreamopt.recipes.aim import Aim
from dreamopt.recipes.dream import Targets, plan_dream
from dreamopt.recipes.plan import InitImage, Plan
from dreamopt.recipes.settings import Settings

_MOMENT = re.compile(r"(\d{1,9})f")


@dataclass(frozen=True)
class FilmSettings:
    """What a film has beside the settings of its frames' dreams.

    Parameters
    ----------
    start, end : float or str
        The part that is dreamed: from the first frame that is shown at ``start`` seconds or later, to the last before ``end``. A text
        counts frames from 0: "30f". By default the whole film.
    cycle : int, optional
        The targets follow each other, each for so many frames, and begin again; by default all are dreamed of in every frame.
    temporal : Temporal
        How a frame's dream depends on those before; by default it is carried along with the motion. `dreamopt.film.temporal.Apart` dreams
        each frame by itself.
    rate : float, optional
        Frames a second of a folder of frames, at least 0.001; 25 where it is not said. A film has its own times.
    encoding : Encoding
        How the frames are encoded in the end. It decides no frame, and may be another when a film is resumed.
    sound : bool
        Whether the sound and the subtitles of the film are copied.
    """

    start: float | str = 0.0
    end: float | str | None = None
    cycle: int | None = None
    temporal: Temporal = field(default_factory=Carried)
    rate: float | None = None
    encoding: Encoding = field(default_factory=Encoding)
    sound: bool = True

    def __post_init__(self) -> None:
        check_kind("temporal", self.temporal, Temporal, "a Temporal, as dreamopt.film.temporal.BlendPrevious")
        check_kind("encoding", self.encoding, Encoding, "an Encoding")
        for name in ("start", "end"):
            value = getattr(self, name)
            if value is None and name == "end":
                continue
            if isinstance(value, str) and not _MOMENT.fullmatch(value):
                raise UsageError(f"{name} must be seconds, or a number of frames as '30f', not {shown(value)}")
            if not isinstance(value, str):
                object.__setattr__(self, name, check_number(name, value, NOT_NEGATIVE))
        if self.cycle is not None:
            object.__setattr__(self, "cycle", check_whole("cycle", self.cycle, COUNT))
        if self.rate is not None:
            object.__setattr__(self, "rate", check_number("rate", self.rate, Range(low=0.001)))
        Fields(self).flag("sound")

    def part(self, times: Sequence[Fraction]) -> tuple[int, int]:
        """Return the first frame of the part, and the one after its last.

        >>> FilmSettings(start=0.5, end="4f").part([Fraction(n, 5) for n in range(10)])
        (3, 4)
        """
        first, last = (_place(moment, times) for moment in (self.start, math.inf if self.end is None else self.end))
        if first >= last:
            seconds = float(times[-1]) if times else 0.0
            end = "" if self.end is None else f" and end {self.end}"
            raise UsageError(f"no frame lies between start {self.start}{end}: the film's {len(times)} frames end at {seconds:.3f} s")
        return first, last


def _place(moment: float | str, times: Sequence[Fraction]) -> int:
    if isinstance(moment, str):
        return min(int(moment[:-1]), len(times))
    return len(times) if math.isinf(moment) else bisect_left(times, Fraction(moment) - Fraction(1, 100_000))


@dataclass(frozen=True)
class FilmPlan:
    """A film's job, resolved.

    Parameters
    ----------
    plans : tuple of Plan
        Of frames; those of the targets that follow each other, without an init image.
    film : Film
        The source.
    source_sha256 : str
        Of its file, or of all its frames' files.
    settings : FilmSettings
        Beside those of the plans.
    first, last : int
        The frames that are dreamed: from the first to before the last.
    end : Fraction, optional
        When the first frame behind the part is shown, in seconds; None at the film's end.
    provenance : mapping
        As that of a `Plan`.
    """

    plans: tuple[Plan, ...]
    film: Film
    source_sha256: str
    settings: FilmSettings
    first: int
    last: int
    end: Fraction | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def count(self) -> int:
        """How many frames are dreamed."""
        return self.last - self.first

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the dreams."""
        return self.plans[0].size

    @cached_property
    def key(self) -> str:
        """The sha256 of `describe`: two plans of one key make the same frames."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return all that decides the frames, fit for JSON."""
        described: dict[str, Any] = {
            "recipe": "film",
            "frames_of": {"sha256": self.source_sha256, "size": list(self.film.size)},
            "part": [self.first, self.last],
            "cycle": self.settings.cycle,
            "temporal": self.settings.temporal.describe(),
        }
        dreams = [plan.describe() for plan in self.plans]
        return described | {"dream" if len(dreams) == 1 else f"dream {number}": one for number, one in enumerate(dreams, 1)}

    @property
    def depth(self) -> int:
        """Bits of each sample of the dreams: 8, or 16 where the film has more than 8."""
        depth = self.plans[0].settings.depth
        return depth if isinstance(depth, int) else 8 if self.film.depth <= 8 else 16

    def frame(self, position: int, image: NDArray[Any], start: NDArray[Any], begin: Begin) -> Plan:
        """Return the plan of one frame, counted from the part's first.

        Parameters
        ----------
        position : int
        image : ndarray, (H, W, 3), uint8 or uint16
            The frame.
        start : ndarray, (H, W, 3), of the same type
            What its optimization begins with.
        begin : Begin
            Says how many steps are made.
        """
        plan = self.plans[0 if self.settings.cycle is None else position // self.settings.cycle % len(self.plans)]
        init = InitImage.of(LoadedImage(start), f"{self.film.path}#{self.first + position}")
        steps = begin.of(plan.settings.steps)
        stages = tuple(replace(stage, steps=begin.of(stage.steps)) for stage in plan.settings.stages)
        return replace(
            plan,
            init=init,
            original=None if start is image else InitImage.of(LoadedImage(image), init.path),
            settings=replace(plan.settings, init=init.path, steps=steps, stages=stages),
            stages=tuple(replace(stage, steps=begin.of(stage.steps)) for stage in plan.stages),
            provenance=self.provenance,
        )

    @property
    def path(self) -> str:
        """The source."""
        return self.film.path

    def frame_names(self) -> list[str]:
        """Return the names of the dreamed frames' files: those of a folder's images, or numbers."""
        source = self.open()
        if not isinstance(source, FrameFolder):
            return [f"frame{number:06d}.png" for number in range(self.first, self.last)]
        stems = [path.stem for path in source.paths]
        different = len({stem.casefold() for stem in stems}) == len(stems)
        names = [f"{stem if different else path.name}.png" for stem, path in zip(stems, source.paths, strict=True)]
        return names[self.first : self.last]

    def open(self) -> Source:
        """Return the source's frames.

        Raises
        ------
        FilmError
            When it cannot be read any more.
        """
        return open_source(self.film.path, self.settings.rate)


def plan_film(
    network: Network,
    source: str | os.PathLike[str],
    targets: Targets | None = None,
    settings: Settings | None = None,
    film: FilmSettings | None = None,
    aim: Aim | None = None,
) -> FilmPlan:
    """Resolve the dream of a film; parameters as those of `dreamopt.recipes.film.dream_film`.

    Raises
    ------
    FilmError
        For a source that cannot be read.
    UsageError
        For settings that contradict each other, the film or the network.
    """
    film = FilmSettings() if film is None else check_kind("film", film, FilmSettings, "a FilmSettings")
    if isinstance(film.temporal, Carried) and film.temporal.share:
        opencv("carrying dreams along with the motion, which a carry of 0 leaves out,")
    opened = open_source(source, film.rate)
    times = opened.times()
    first, last = film.part(times)
    image = next((frame.image for frame in opened.frames()), None)
    if image is None:
        raise FilmError(f"the film '{os.fspath(source)}' cannot be read: it has no frames")
    init = InitImage.of(image, os.fspath(source))
    each: list[Targets | None] = [targets]
    if film.cycle is not None:
        if targets is None or isinstance(targets, str | Objective):
            raise UsageError("a cycle needs several targets that follow each other")
        each = list(targets)
    plans = [plan_dream(network, init, one, settings, aim) for one in each]
    bare = tuple(replace(plan, init=None, settings=replace(plan.settings, init=None)) for plan in plans)
    return FilmPlan(bare, opened.film, source_sha256(opened), film, first, last, times[last] if last < len(times) else None)


def source_sha256(source: Source) -> str:
    """Return the sha256 of a film's file; of a folder, that of the digests of its frames, one after the other."""
    if not isinstance(source, FrameFolder):
        return file_sha256(source.film.path)
    digest = hashlib.sha256()
    for path in source.paths:
        digest.update(f"{file_sha256(path)} {path.name}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
