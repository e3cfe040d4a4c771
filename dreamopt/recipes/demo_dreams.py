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


def demo_dream(
    network: Network, plan: Plan, folder: str | Path, *, callbacks: Sequence[Callback] = (), stop: Callable[[], bool] | None = None
) -> Path:
    """Make a dream, and return its file.

    Parameters
    ----------
    network : Network
        That of the plan.
    plan : Plan
        From `plan_demo_dreams`.
    folder : str or Path
        Receives ``dream.png``.
    callbacks, stop
        As for `dreamopt.render`.
    """
    out = Path(folder) / "dream.png"
    with FolderStore(out, seconds=None) as store:
        [dream] = run_plan(plan, network, store=store, callbacks=callbacks, stop=stop)
        store.finish([dream])
    return out


def demo_zoom(
    network: Network, plan: ZoomPlan, folder: str | Path, *, callbacks: Sequence[Callback] = (), stop: Callable[[], bool] | None = None
) -> Path:
    """Make a zoom, and return its file; of one that was cut, its folder of frames.

    Parameters
    ----------
    network : Network
        That of the plan.
    plan : ZoomPlan
        From `plan_demo_dreams`.
    folder : str or Path
        Receives ``zoom.mp4``; without PyAV ``zoom.gif``.
    callbacks, stop
        As for `dreamopt.render`.
    """
    ending = "gif"
    with contextlib.suppress(UsageError):
        pyav()
        ending = "mp4"
    with FrameStore(Path(folder) / f"zoom.{ending}") as frames:
        frames.open(plan)
        return run_zoom(plan, network, frames, callbacks=callbacks, stop=stop).path
