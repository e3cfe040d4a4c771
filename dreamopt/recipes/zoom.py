"""Zoom: a film without an end, each of whose frames is the one before, moved, and dreamed again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dreamopt.errors import DeadGradientError, UsageError
from dreamopt.film.motion import came_from, moved
from dreamopt.image.files import RGBImage, covering
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.optimize import Callback
from dreamopt.optimize.result import checked_callbacks
from dreamopt.parts.arguments import check_kind, check_several
from dreamopt.parts.calls import split
from dreamopt.parts.spelling import lacks
from dreamopt.progress.rendering import rendering
from dreamopt.recipes import settings as dream_settings
from dreamopt.recipes import zoom_settings
from dreamopt.recipes.cycle import Cycle, gradient_scales
from dreamopt.recipes.dream import PRESET, Targets, changed_settings, opened, plan_dream
from dreamopt.recipes.execute import execute
from dreamopt.recipes.memory import checked_memory, in_memory
from dreamopt.recipes.plan import InitImage, Plan
from dreamopt.recipes.preset import resolve_settings
from dreamopt.recipes.rendered import Rendered
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.zoom_settings import EDGE, ZoomSettings

CHANGES: Mapping[str, Any] = {"octaves": 2, "steps": 2}
"""What a frame is dreamed with beside the preset: little, for a dream grows from frame to frame. Chosen by eye."""


@dataclass(frozen=True)
class ZoomPlan:
    """A zoom, resolved: what each frame is dreamed with and how it moves.

    Parameters
    ----------
    dream : Plan
        Of the first frame.
    film : ZoomSettings
        How the film moves.
    cycle : Cycle
        What each frame is dreamed of.
    provenance : mapping
        As that of a `dreamopt.recipes.Plan`.
    """

    dream: Plan
    film: ZoomSettings
    cycle: Cycle
    provenance: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def count(self) -> int:
        """How many frames the film has."""
        return self.film.frames

    @property
    def path(self) -> str:
        """The image."""
        assert self.dream.init is not None
        return self.dream.init.path

    def frame_names(self) -> list[str]:
        """Return the names of the frames' files."""
        return [f"frame{number:06d}.png" for number in range(self.count)]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the frames."""
        return self.dream.size

    @cached_property
    def key(self) -> str:
        """The sha256 of `describe`: two plans of one key make the same film."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return the plan fit for JSON."""
        cycle = {"objectives": [str(one) for one in self.cycle.objectives], "scales": list(self.cycle.scales)}
        return self.dream.describe() | {"recipe": "zoom", "film": self.film.describe(), "cycle": cycle}

    def frame(self, number: int, image: RGBImage) -> Plan:
        """Return the plan of one frame, dreamed from an image."""
        objective = self.cycle.objective(number)
        sample = replace(self.dream.samples[0], objective=objective, text=str(objective))
        init = InitImage.of(image, f"frame {number}")
        settings = replace(self.dream.settings, init=init.path, seed=self.dream.settings.seed + number)
        return replace(self.dream, samples=(sample,), settings=settings, init=init, provenance=self.provenance)


class Frames(Protocol):
    """Where finished frames are kept, as `dreamopt.recipes.film_store.FrameStore` does."""

    def done(self, position: int) -> bool:
        """Return whether a frame is finished."""

    def read(self, position: int) -> RGBImage:
        """Return a finished frame."""

    def save(self, position: int, image: RGBImage, metadata: Mapping[str, Any]) -> object:
        """Keep a finished frame."""


def zoom(
    network: Network,
    image: str | os.PathLike[str] | InitImage | ArrayLike,
    targets: Targets | None = None,
    settings: Settings | None = None,
    *,
    cycle: Sequence[str | Objective] = (),
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
    store: Frames | None = None,
    memory: int | None = None,
    progress: bool | None = None,
    **changes: Any,
) -> Iterator[Rendered]:
    r"""Make the frames of an endless zoom into an image, one by one.

    .. math:: F_0 = D(I), \qquad F_i = D(M_i F_{i-1})

    with D the dream and :math:`M_i` the motion into frame i, resampled by a cubic spline. Each frame is rounded to whole grey levels, so
    that a film can be resumed from its frames. With ``loop``, near the end the image appears again in the frame, where the motion
    will have carried it to fill the first one, and is dreamed with what is around it.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    image : path or array
        As for `dreamopt.dream`.
    targets : str, Objective, or a sequence of them
        As for `dreamopt.dream`.
    settings : Settings, optional
        Of each frame's dream; by default those of the preset ``deepdream2015``, with 2 octaves of 2 steps.
    cycle : sequence of str or Objective
        Instead of ``targets``: what is dreamed in turn.
    callbacks, stop, memory
        As for `dreamopt.dream`.
    progress : bool, optional
        As for `dreamopt.dream`, from the first frame that is asked for to the last.
    store : Frames, optional
        Where finished frames are kept; those that it has are not made again.
    **changes
        Arguments of `ZoomSettings`, for instance ``seconds=3``, ``zoom=2``, ``rotate=10``, and of `Settings`.

    Yields
    ------
    Rendered
        A frame. After ``stop`` the film ends with the last that is finished.

    Raises
    ------
    UsageError
        For settings that do not fit.
    DeadGradientError
        When the first frame's gradient is zero.

    References
    ----------
    .. [1] google/deepdream, ``dream.ipynb``, its last cell: 5 % a frame.

    Examples
    --------
    >>> import dreamopt, numpy as np
    >>> photo = np.random.default_rng(0).integers(0, 256, (48, 60, 3))
    >>> frames = dreamopt.zoom(dreamopt.load_net(), photo, "mixed3", seconds=0.4, fps=5, steps=1)
    >>> [frame.image.shape for frame in frames]
    [(48, 60, 3), (48, 60, 3)]
    """
    of_film = {name: changes[name] for name in zoom_settings.names() if name in changes}
    of_dream = {name: value for name, value in changes.items() if name not in of_film}
    unknown = sorted(set(of_dream) - set(dream_settings.names()))
    if unknown:
        known = (*zoom_settings.names(), *dream_settings.names())
        raise UsageError(lacks("zoom", unknown[0], known, "setting"))
    settings = changed_settings("zoom", settings, of_dream, CHANGES)
    memory = checked_memory(memory)
    plan = plan_zoom(network, image, targets, settings, ZoomSettings(**of_film), cycle=cycle)
    return _with_progress(plan, network, progress, checked_callbacks(callbacks), store, stop=stop, memory=memory)


def _with_progress(
    plan: ZoomPlan, network: Network, progress: bool | None, callbacks: Sequence[Callback], store: Frames | None, **options: Any
) -> Iterator[Rendered]:
    """Make a zoom's frames, and show the steps that are done."""
    left = sum(store is None or not store.done(frame) for frame in range(plan.film.frames))
    with rendering(progress, max(left, 1), plan.dream.total_steps) as report:
        yield from execute_zoom(plan, network, callbacks=(*callbacks, *report.callbacks), store=store, **options)


def plan_zoom(
    network: Network,
    image: str | os.PathLike[str] | InitImage | ArrayLike,
    targets: Targets | None = None,
    settings: Settings | None = None,
    film: ZoomSettings | None = None,
    *,
    cycle: Sequence[str | Objective] = (),
) -> ZoomPlan:
    """Resolve a zoom; parameters as those of `zoom`.

    Examples
    --------
    >>> import dreamopt, numpy as np
    >>> photo = np.random.default_rng(0).integers(0, 256, (48, 60, 3))
    >>> plan = plan_zoom(dreamopt.load_net(device="cpu"), photo, film=ZoomSettings(seconds=2, fps=4), cycle=["conv2", "mixed3"])
    >>> plan.film.frames, plan.size, plan.cycle.weights(3)
    (8, (48, 60), (0.5, 0.5))
    """
    settings = resolve_settings(PRESET, CHANGES) if settings is None else settings
    film = ZoomSettings() if film is None else check_kind("film", film, ZoomSettings, "a ZoomSettings")
    turns: Sequence[Any] = [cycle] if isinstance(cycle, str | Objective) else check_several("cycle", cycle, "targets")
    if turns and targets:
        raise UsageError("targets are dreamed together and those of a cycle in turn: give one of them")
    init = opened(image, settings)  # once for all turns
    plans = [plan_dream(network, init, one, settings) for one in turns or [targets]]
    objectives = [plan.samples[0].objective for plan in plans]
    scales = gradient_scales(network, plans[0], objectives)
    each = film.frames / len(objectives) if film.each is None else film.each * film.fps
    return ZoomPlan(plans[0], film, Cycle(tuple(objectives), scales, each, film.fade, film.frames, film.loop))


def execute_zoom(
    plan: ZoomPlan,
    network: Network,
    *,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
    store: Frames | None = None,
    memory: int | None = None,
) -> Iterator[Rendered]:
    """Make a zoom's frames; parameters as those of `zoom`. Two frames and the image are held at a time."""
    assert plan.dream.init is not None
    network = in_memory(plan.dream, network, memory)  # once: all frames in the same tiles
    photo, film = np.rint(covering(plan.dream.init.array(), plan.size)).astype(np.uint8), plan.film
    colours = _Colours.of(photo)
    first: RGBImage = photo
    before: RGBImage = photo
    for frame in range(film.frames):
        if store is not None and store.done(frame):
            one = Rendered(plan.dream.samples[0], store.read(frame), float("nan"), {}, index=frame)
        else:
            start = photo if frame == 0 else colours.kept(moved(before, film.motion(frame)), film.keep_colours)
            [dreamed] = execute(plan.frame(frame, start), network, callbacks=callbacks, stop=stop)
            if dreamed.interrupted:
                return
            if dreamed.dead is not None and frame == 0:
                raise DeadGradientError(dreamed.dead)
            image = _closing(film, frame, np.ascontiguousarray(dreamed.image[..., :3], dtype=np.uint8), first)
            one = replace(dreamed, image=image, index=frame, metadata=_metadata(plan, frame, dreamed))
            if store is not None:
                store.save(frame, image, one.metadata)
        yield one
        before = np.asarray(one.image, dtype=np.uint8)
        first = before if frame == 0 else first
        if stop is not None and stop():
            return


@dataclass(frozen=True)
class _Colours:
    """Mean and spread of each channel of an image."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, image: RGBImage) -> _Colours:
        return cls(image.mean((0, 1), dtype=np.float64), image.std((0, 1), dtype=np.float64))

    def kept(self, image: RGBImage, part: float) -> RGBImage:
        """Return an image with its mean and the logarithm of its spread moved by a part of the way to these."""
        if part == 0:
            return image
        own = _Colours.of(image)
        factor = (np.maximum(self.spread, 1) / np.maximum(own.spread, 1)) ** part
        mean = own.mean + part * (self.mean - own.mean)
        kept = (image - own.mean.astype(np.float32)) * factor.astype(np.float32) + mean.astype(np.float32)
        return np.rint(kept).clip(0, 255).astype(np.uint8)


def _closing(film: ZoomSettings, number: int, image: RGBImage, first: RGBImage) -> RGBImage:
    """Return a frame; near the end of a film that closes with the first one in it, where the motion will carry it to its place."""
    left = film.frames - number
    share = film.share(left)
    if share == 0:
        return image
    motion = film.from_here(left).inverse()
    height, width = image.shape[:2]
    x, y = came_from((height, width), motion)
    edge = 1 + film.edge(left)
    weight = (share * _inside(x / (width / 2), edge) * _inside(y / (height / 2), edge))[..., None].astype(np.float32)
    return np.rint(weight * moved(first, motion) + (1 - weight) * image).clip(0, 255).astype(np.uint8)


def _inside(place: NDArray[np.float64], edge: float) -> NDArray[np.float64]:
    """Return 1 within, 0 beyond an edge, in halves of a side, and between them a smooth step."""
    part = ((edge - np.abs(place)) / EDGE).clip(0, 1)
    return np.asarray(part * part * (3 - 2 * part))


def _metadata(plan: ZoomPlan, frame: int, one: Rendered) -> dict[str, Any]:
    motion = plan.film.motion(frame)
    moved_by = {"zoom": motion.zoom, "degrees": motion.degrees, "shift": list(motion.shift)}
    return {**one.metadata, "zoom": plan.key, "frame": frame, "motion": moved_by}


def read_cycle(text: str) -> list[str]:
    """Return the targets of a cycle that a text lists, with commas between them."""
    targets = split(text, ",")
    if not all(targets):
        raise UsageError(f"the cycle '{text}' has an empty place; give targets with commas between them, as conv3,conv4")
    return targets
