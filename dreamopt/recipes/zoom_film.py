"""A zoom as a film: its frames into a store, the film from the frames, and how well it closes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.film.animation import ANIMATIONS, is_animation, write_animation
from dreamopt.film.encoding import CONTAINERS, Encoding, check_film_output
from dreamopt.film.library import pyav
from dreamopt.film.seam import Seam, measured_seam
from dreamopt.film.sources import is_folder_output
from dreamopt.film.writing import FilmWriter
from dreamopt.network import Network
from dreamopt.optimize import Callback
from dreamopt.parts.brief import brief, counted
from dreamopt.recipes.film_store import DESCRIPTION, FrameStore
from dreamopt.recipes.memory import in_memory
from dreamopt.recipes.zoom import ZoomPlan, execute_zoom


@dataclass(frozen=True)
class Zoomed:
    """What became of a zoom.

    Parameters
    ----------
    path : Path
        The film or the folder of frames; where it was interrupted, the folder.
    frames, finished : int
        How many were to be made, and how many are.
    seam : Seam or None
        How well a film closes that is meant to.
    metadata : mapping
        How it was made, fit for JSON.
    """

    path: Path
    frames: int
    finished: int
    seam: Seam | None
    metadata: Mapping[str, Any]

    def __repr__(self) -> str:
        """Return one line: the file, and how much of it is finished."""
        return brief("Zoomed", self.path, f"{self.finished} of {counted(self.frames, 'frame')}")

    @property
    def interrupted(self) -> bool:
        """Whether frames are missing."""
        return self.finished < self.frames


def check_zoom_output(out: str | os.PathLike[str], encoding: Encoding | None = None) -> None:
    """Refuse an output that could not be written, before anything is dreamed.

    Raises
    ------
    UsageError
        For an ending that is no film's and no animation's, or an encoder that is missing.
    """
    if is_folder_output(out) or is_animation(out):
        return
    if Path(out).suffix.lower() not in CONTAINERS:
        known = ", ".join(dict.fromkeys([*CONTAINERS, *ANIMATIONS]))
        raise UsageError(f"the zoom {os.fspath(out)} must end in {known}, or be a folder for its frames, a name without an ending")
    try:
        pyav()
    except UsageError as problem:
        raise UsageError(f"{problem}; {', '.join(ANIMATIONS)} and folders of frames need nothing more") from problem
    check_film_output(out, encoding)


def run_zoom(
    plan: ZoomPlan,
    network: Network,
    store: FrameStore,
    *,
    encoding: Encoding | None = None,
    keep_frames: bool = False,
    partial: bool = False,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
    memory: int | None = None,
) -> Zoomed:
    """Make a zoom's frames into a store that is open, and write the film.

    Parameters
    ----------
    plan : ZoomPlan
        From `dreamopt.recipes.zoom.plan_zoom`.
    network : Network
        The one that it was made for.
    store : FrameStore
        Opened for the plan; the caller closes it.
    encoding : Encoding, optional
        How the frames are encoded.
    keep_frames : bool
        Whether the frames stay once the film is written.
    partial : bool
        Whether a film that is interrupted is written as far as it is.
    callbacks, stop, memory
        As for `dreamopt.dream`.

    Returns
    -------
    Zoomed
        Its ``interrupted`` says whether frames are missing.
    """
    metadata = plan.describe() | dict(plan.provenance) | {"key": plan.key}
    if not is_animation(store.out) and store.is_written():
        store.finish(keep_frames=keep_frames)
        return Zoomed(store.out, plan.count, plan.count, None, metadata)
    network = store.in_same_tiles(in_memory(plan.dream, network, memory), memory)
    finished = 0
    try:
        for _ in execute_zoom(plan, network, callbacks=callbacks, stop=stop, store=store, memory=memory):
            finished += 1
    except KeyboardInterrupt:  # between two runs
        pass
    whole = finished == plan.count
    if not whole and not (partial and finished):
        return Zoomed(store.folder, plan.count, finished, None, metadata)
    seam = measured_seam(map(store.read, range(finished)), plan.film.motion) if whole and plan.film.loop else None
    if not store.is_folder:
        _encode(plan, store, finished, encoding, metadata)
    if whole:
        store.finish(keep_frames=keep_frames)
    return Zoomed(store.out, plan.count, finished, seam, metadata)


def _encode(plan: ZoomPlan, store: FrameStore, finished: int, encoding: Encoding | None, metadata: Mapping[str, Any]) -> None:
    fps = Fraction(plan.film.fps).limit_denominator(1001)
    scratch = store.scratch(store.out)
    if is_animation(store.out):
        write_animation(store.out, finished, store.read, float(fps), scratch)
        return
    said = {DESCRIPTION: json.dumps({**metadata, "finished": finished})}
    with FilmWriter(store.out, plan.size, fps, encoding=encoding, metadata=said, scratch=scratch) as writer:
        for number in range(finished):
            writer.write(store.read(number))
