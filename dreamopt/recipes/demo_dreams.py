"""Demo: one dream and a short zoom, of a photograph that comes with scikit-image."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from dreamopt.errors import UsageError
from dreamopt.film.library import pyav
from dreamopt.image.spectrum import image_files
from dreamopt.network import Network
from dreamopt.optimize import Callback
from dreamopt.recipes.dream import PRESET, plan_dream
from dreamopt.recipes.film_store import FrameStore
from dreamopt.recipes.plan import Plan
from dreamopt.recipes.preset import resolve_settings
from dreamopt.recipes.render import run_plan
from dreamopt.recipes.store import FolderStore
from dreamopt.recipes.zoom import CHANGES, ZoomPlan, plan_zoom
from dreamopt.recipes.zoom_film import run_zoom
from dreamopt.recipes.zoom_settings import ZoomSettings

PHOTO = "coffee.png"
"""Rachel Michetti's, CC0; one of the photographs in scikit-image's wheel."""


def plan_demo_dreams(network: Network, layer: str) -> tuple[Plan, ZoomPlan]:
    """Return the plans of the demo's dream and zoom of a layer.

    Raises
    ------
    ImageError
        Where scikit-image is not installed with its photographs.
    """
    photos = image_files(None)
    photo = str(next((path for path in photos if path.name == PHOTO), photos[0]))
    still = resolve_settings(PRESET, {"size": (160, 240), "octaves": 3, "steps": 12, "jitter": 16})
    frame = resolve_settings(PRESET, {**CHANGES, "size": (128, 192), "jitter": 16})
    film = ZoomSettings(seconds=3, fps=12, zoom=2.5, rotate=15, loop=True)
    return plan_dream(network, photo, layer, still), plan_zoom(network, photo, layer, frame, film)


def demo_dreams(
    network: Network,
    plans: tuple[Plan, ZoomPlan],
    folder: str | Path,
    *,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
) -> list[Path]:
    """Make a dream and a zoom.

    Parameters
    ----------
    network : Network
        That of the plans.
    plans : (Plan, ZoomPlan)
        From `plan_demo_dreams`.
    folder : str or Path
        Receives ``dream.png`` and ``zoom.mp4``; without PyAV ``zoom.gif``.
    callbacks, stop
        As for `dreamopt.render`.

    Returns
    -------
    list of Path
        The two files; one where it was interrupted, and for a zoom that was cut its folder of frames.
    """
    out, (still, zoom) = Path(folder), plans
    with FolderStore(out / "dream.png", seconds=None) as store:
        [dream] = run_plan(still, network, store=store, callbacks=callbacks, stop=stop)
        store.finish([dream])
    made = [out / "dream.png"]
    if stop is None or not stop():
        ending = "gif"
        with contextlib.suppress(UsageError):
            pyav()
            ending = "mp4"
        with FrameStore(out / f"zoom.{ending}") as frames:
            frames.open(zoom)
            made.append(run_zoom(zoom, network, frames, callbacks=callbacks, stop=stop).path)
    return made
