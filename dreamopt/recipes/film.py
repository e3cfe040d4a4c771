"""A film is dreamed frame by frame; each finished frame is a file, and the film is written from these in the end."""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import FilmError, UsageError
from dreamopt.film.encoding import CONTAINERS, check_film_output
from dreamopt.film.flicker import FlickerReport, measure_flicker
from dreamopt.film.frames import Frame, at_8_bits
from dreamopt.film.library import opencv
from dreamopt.film.packets import check_streams
from dreamopt.film.reading import FilmFile
from dreamopt.film.sources import Source, is_folder_output
from dreamopt.film.temporal import Moment
from dreamopt.film.writing import FilmWriter
from dreamopt.image.files import RGBImage, covering
from dreamopt.network import Network
from dreamopt.optimize import Callback
from dreamopt.parts.arguments import check_kind, check_path
from dreamopt.parts.brief import brief, counted
from dreamopt.progress.rendering import filming
from dreamopt.recipes.aim import Aim
from dreamopt.recipes.dream import Targets, changed_settings
from dreamopt.recipes.execute import execute
from dreamopt.recipes.film_plan import FilmPlan, FilmSettings, plan_film
from dreamopt.recipes.film_store import DESCRIPTION, FrameStore
from dreamopt.recipes.memory import checked_memory, in_memory
from dreamopt.recipes.settings import Settings

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Dreamed:
    """What became of a film.

    Parameters
    ----------
    path : Path
        The film, or the folder of its frames; where it was interrupted before the film was written, the folder.
    frames : int
        How many were to be dreamed.
    finished : int
        How many are.
    dead : int
        How many of them have no gradient (a black frame) and are as they were.
    metadata : mapping
        How it was made, fit for JSON.
    flicker : FlickerReport, optional
        How much the finished frames flicker, where it was asked for.
    """

    path: Path
    frames: int
    finished: int
    dead: int
    metadata: Mapping[str, Any]
    flicker: FlickerReport | None = None

    def __repr__(self) -> str:
        """Return one line: the file, and how much of it is finished."""
        return brief("Dreamed", self.path, f"{self.finished} of {counted(self.frames, 'frame')}")

    @property
    def interrupted(self) -> bool:
        """Whether frames are missing."""
        return self.finished < self.frames


def dream_film(
    network: Network,
    source: str | os.PathLike[str],
    targets: Targets | None,
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    film: FilmSettings | None = None,
    aim: Aim | None = None,
    *,
    resume: bool = False,
    keep_frames: bool = False,
    partial: bool = False,
    flicker: bool = False,
    provenance: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Stop | None = None,
    memory: int | None = None,
    progress: bool | None = None,
    **changes: Any,
) -> Dreamed:
    """Dream into each frame of a film, or of a folder of images.

    Every finished frame is a PNG, in the folder ``OUT.frames`` beside the film: whatever happens, no more than the frame under way is
    lost. The film is written in the end, with the frames' times and the sound of the source.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    source : path
        A film, or a folder of frames.
    targets, settings
        As for `dreamopt.dream`. The seed is the same for every frame, so that all are shaken alike, which flickers a little less.
    out : path
        A film (`dreamopt.film.encoding.CONTAINERS`), or a folder for the frames.
    film : FilmSettings, optional
        The part that is dreamed, how frames depend on each other, how they are encoded.
    aim : Aim, optional
        A guide, or channels by rank (of each frame).
    resume : bool
        Whether an interrupted film goes on, with the same bits.
    keep_frames : bool
        Whether the frames stay once the film is written.
    partial : bool
        Whether a film that is interrupted is written as far as it is.
    flicker : bool
        Whether the flicker of the finished frames is measured (`dreamopt.film.flicker.measure_flicker`), before they go.
    provenance, callbacks, stop, memory, progress, **changes
        As for `dreamopt.dream`.

    Returns
    -------
    Dreamed
        Its ``interrupted`` says whether frames are missing.

    Raises
    ------
    FilmError
        For a source that cannot be read, or a film that cannot be written; the finished frames are kept.
    UsageError
        For settings that contradict each other, the film or the network.
    """
    settings = changed_settings("dream", settings, changes)
    if provenance is not None:
        check_kind("provenance", provenance, Mapping, "a mapping")
    memory = checked_memory(memory)
    check_out(out, source, film)
    plan = replace(plan_film(network, source, targets, settings, film, aim), provenance=dict(provenance or {}))
    with FrameStore(out, resume=resume) as store:
        store.open(plan)
        with filming(progress, store.left()) as count:
            return run_film(
                plan,
                network,
                store,
                keep_frames=keep_frames,
                partial=partial,
                flicker=flicker,
                callbacks=callbacks,
                finished=count,
                stop=stop,
                memory=memory,
            )


def check_out(out: str | os.PathLike[str], source: str | os.PathLike[str], film: FilmSettings | None = None) -> None:
    """Refuse an output that could not be written, before anything is dreamed.

    Raises
    ------
    UsageError
        For an ending that is no film's, an encoder that is missing, sound that the container cannot hold, or the source itself.
    """
    film = FilmSettings() if film is None else check_kind("film", film, FilmSettings, "a FilmSettings")
    check_path("out", out)
    check_path("source", source)
    if is_folder_output(out):
        return
    check_film_output(out, film.encoding)
    if os.path.exists(out) and os.path.exists(source) and os.path.samefile(out, source):
        raise UsageError(f"the film {os.fspath(source)} would be overwritten by its dream; give another output")
    if film.sound and not os.path.isdir(source):
        check_streams(FilmFile(source), out, CONTAINERS[Path(out).suffix.lower()][0])


def run_film(
    plan: FilmPlan,
    network: Network,
    store: FrameStore,
    *,
    keep_frames: bool = False,
    partial: bool = False,
    flicker: bool = False,
    callbacks: Sequence[Callback] = (),
    finished: Callable[[], None] = lambda: None,
    stop: Stop | None = None,
    memory: int | None = None,
) -> Dreamed:
    """Dream a plan's frames into a store that is open and write the film; parameters as those of `dream_film`, which returns the same.

    ``finished`` is called after each frame that was not finished before.
    """
    if flicker:
        opencv("measuring flicker")  # before anything is dreamed
    network = store.in_same_tiles(in_memory(plan.plans[0], network, memory), memory)
    source = plan.open()
    metadata = plan.describe() | dict(plan.provenance) | {"key": plan.key}
    if store.is_written():
        store.finish(keep_frames=keep_frames)
        return Dreamed(store.out, plan.count, plan.count, 0, metadata)
    if not store.is_folder:
        require_encoder(plan, source, store)
    shown: list[tuple[int, int]] = []
    dead, stopped = 0, False
    try:
        for frame, fresh, was_dead in dream_frames(plan, network, source, store, callbacks=callbacks, stop=stop, memory=memory):
            shown.append((frame.pts, frame.duration))
            dead += was_dead
            if fresh:
                finished()
    except KeyboardInterrupt:
        stopped = True
    stopped = len(shown) < plan.count and (stopped or (stop is not None and stop()))
    # Without an interrupt, a damaged film may have fewer frames than it announced.
    frames = plan.count if stopped else len(shown)
    if stopped and not (partial and shown):
        return Dreamed(store.folder, frames, len(shown), dead, metadata)
    if not store.is_folder:
        encode(plan, source, store, shown, metadata, complete=not stopped)
    report = measured(plan, source, store, len(shown)) if flicker and shown else None
    if not stopped:
        store.finish(keep_frames=keep_frames)
    return Dreamed(store.out, frames, len(shown), dead, metadata, report)


def dream_frames(
    plan: FilmPlan,
    network: Network,
    source: Source,
    store: FrameStore,
    *,
    callbacks: Sequence[Callback] = (),
    stop: Stop | None = None,
    memory: int | None = None,
) -> Iterator[tuple[Frame, bool, bool]]:
    """Dream frame by frame; each is in the store before the next begins.

    Yields
    ------
    frame : Frame
        Of the source, once its dream is finished.
    fresh : bool
        Whether it was dreamed now; else it was finished before.
    dead : bool
        Whether it has no gradient and is as it was.

    Raises
    ------
    KeyboardInterrupt
        When a frame is interrupted, by ``stop`` or Ctrl-C.
    """
    temporal, deep = plan.settings.temporal, plan.depth > 8
    past: deque[RGBImage] = deque(maxlen=max(temporal.reach, 1))
    for frame in part(plan, source, deep=deep):
        position, whole = frame.index - plan.first, _fitting(frame.image, plan.size)
        image = at_8_bits(whole)
        fresh, was_dead = not store.done(position), False
        if fresh:
            steps = min(stage.steps for stage in plan.plans[0].stages)
            moment = Moment(position, image, _before(past, store, position), steps, plan.plans[0].settings.blend)
            begin = temporal.start(moment)
            start = _moved(whole, image, begin.image)
            [rendered] = execute(plan.frame(position, whole, start, begin), network, callbacks=callbacks, stop=stop, memory=memory)
            if rendered.interrupted:
                raise KeyboardInterrupt  # a run takes Ctrl-C for itself, and ends
            was_dead = rendered.dead is not None
            dream = start if was_dead else np.ascontiguousarray(rendered.image[..., :3])
            plain = at_8_bits(dream)
            store.save(position, _moved(dream, plain, temporal.finish(moment, plain)), rendered.metadata)
        past.append(image)
        yield frame, fresh, was_dead
        if stop is not None and stop():
            return


def measured(plan: FilmPlan, source: Source, store: FrameStore, count: int) -> FlickerReport:
    """Return how much the first ``count`` finished frames flicker beyond those of the source, at 8 bits."""
    inputs = (at_8_bits(_fitting(frame.image, plan.size)) for frame in islice(part(plan, source), count))
    return measure_flicker(inputs, (store.read(position) for position in range(count)))


def _fitting(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return a frame at the size of the dreams, of its own type."""
    if image.dtype == np.uint8 or image.shape[:2] == size:
        return image if image.shape[:2] == size else np.asarray(covering(image, size))
    fitting: NDArray[Any] = np.rint(covering(image / 257.0, size) * 257.0).astype(np.uint16)
    return fitting


def _moved(image: NDArray[Any], plain: RGBImage, to: RGBImage) -> NDArray[Any]:
    """Return an image changed by as much as its version of 8 bits, ``plain``, is: what hangs together in time is computed at 8."""
    if to is plain:
        return image
    if image.dtype == np.uint8:
        return to
    moved: NDArray[Any] = np.clip(image + 257 * (to.astype(np.int32) - plain), 0, 65535).astype(np.uint16)
    return moved


def part(plan: FilmPlan, source: Source, *, deep: bool = False) -> Iterator[Frame]:
    """Yield the frames of the part that is dreamed."""
    for frame in source.frames(deep=deep):
        if frame.index >= plan.last:
            return
        if frame.index >= plan.first:
            yield frame


def _before(past: Sequence[RGBImage], store: FrameStore, position: int) -> Callable[[int], tuple[RGBImage, RGBImage] | None]:
    def before(back: int) -> tuple[RGBImage, RGBImage] | None:
        if not 1 <= back <= len(past):
            return None
        return past[-back], store.read(position - back)

    return before


def writer_of(plan: FilmPlan, source: Source, store: FrameStore, **more: Any) -> FilmWriter:
    """Return the writer of a plan's film; ``more`` says which part of the sound it has, and its metadata."""
    film, settings = plan.film, plan.settings
    return FilmWriter(
        store.out,
        plan.size,
        film.rate,
        time_base=film.time_base,
        colour=film.colour,
        sample_aspect=film.sample_aspect if plan.size == film.size else Fraction(1),
        depth=plan.depth,
        encoding=settings.encoding,
        beside=source if isinstance(source, FilmFile) and settings.sound else None,
        scratch=store.scratch(store.out),
        **more,
    )


def require_encoder(plan: FilmPlan, source: Source, store: FrameStore) -> None:
    """Begin the film and drop it again: what the encoder or the container refuse is known before anything is dreamed.

    Raises
    ------
    FilmError, UsageError
        As by `encode`.
    """
    with contextlib.suppress(_Begun), writer_of(plan, source, store):
        raise _Begun


class _Begun(Exception):  # noqa: N818  # no error: it drops a film that was begun
    pass


def encode(
    plan: FilmPlan,
    source: Source,
    store: FrameStore,
    shown: Sequence[tuple[int, int]],
    metadata: Mapping[str, Any],
    *,
    complete: bool = True,
) -> None:
    """Write the film from its finished frames.

    Parameters
    ----------
    plan, source, store
        As for `dream_frames`.
    shown : sequence of (int, int)
        The time and the duration of each frame, in units of the source's time base.
    metadata : mapping
        How it was made, fit for JSON.
    complete : bool
        Whether these are all; else the sound ends where the next frame would be shown.

    Raises
    ------
    FilmError
        When it cannot be written; the frames are kept.
    """
    film, begin = plan.film, shown[0][0] if plan.first else 0
    end = plan.end if complete else source.times()[plan.first + len(shown)]
    kept = source.tags if isinstance(source, FilmFile) else {}
    tags = {key: kept[key] for key in ("title", "artist", "date") if key in kept} | {
        DESCRIPTION: json.dumps({**metadata, "finished": len(shown)})
    }
    try:
        with writer_of(plan, source, store, start=begin * film.time_base, end=end, metadata=tags) as writer:
            for position, (pts, duration) in enumerate(shown):
                writer.write(store.read(position, deep=True), pts - begin, duration)
    except FilmError as error:
        raise FilmError(f"{error}; its {len(shown)} frames are kept in {store.folder}, and resume goes on") from error
