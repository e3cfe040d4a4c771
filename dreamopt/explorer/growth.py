"""An image that grows while it is watched."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dreamopt.errors import DreamoptError, UsageError
from dreamopt.explorer.faults import report
from dreamopt.explorer.jobs import LongJob
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.optimize import Progress
from dreamopt.parts.checks import Range, check_whole
from dreamopt.recipes import plan_render
from dreamopt.recipes.preset import presets, resolve_settings
from dreamopt.recipes.preview import preview_image
from dreamopt.recipes.render import run_plan
from dreamopt.recipes.rendered import write_rendered
from dreamopt.recipes.settings import Settings

LARGEST = 512
"""Pixels of a frame's longer side at the most."""
INTERVAL = 0.12
"""Seconds between two frames, at the least."""
CHOICES: Mapping[str, Range] = {"steps": Range(1, 4096), "size": Range(16, 512), "seed": Range(0, 2**31 - 1)}
"""What a page may choose of the settings beside the preset, and how far: the work of one viewer is bounded."""


def growth_presets() -> list[dict[str, str]]:
    """Return name and title of the presets that need nothing but a net and a unit, dreamopt's own first."""
    found = [{"name": one.name, "title": one.title} for one in presets() if "needs" not in one.check]
    return sorted(found, key=lambda one: (one["name"] != "default", one["name"]))


def chosen_settings(preset: str, choices: Mapping[str, Any]) -> tuple[Settings, dict[str, int]]:
    """Return the settings of a preset with what a page chose, and the choices that differ from it.

    Raises
    ------
    UsageError
        For a preset that is none of `growth_presets`, which a path never is, and for a choice out of its range.
    """
    if preset not in [one["name"] for one in growth_presets()]:
        raise UsageError(f"'{preset}' is no preset that an image grows by")
    said = {name: check_whole(name, choices[name], limits) for name, limits in CHOICES.items() if choices.get(name) is not None}
    return resolve_settings(preset, said), said


class Growth:
    """The growth of one image, as long as somebody watches.

    Parameters
    ----------
    network : Network
        The net.
    objective : Objective
        What is maximised.
    settings : Settings
        How.
    provenance : mapping
        For the metadata: source, load and command.

    Notes
    -----
    Events are mappings with ``kind``: "waiting", "begun" (steps), "frame" (step, value, image), "done" (value, step, interrupted,
    seconds) or "failed" (reason). Of frames, a watcher who is slow gets the latest.
    """

    def __init__(self, network: Network, objective: Objective, settings: Settings, provenance: Mapping[str, Any]) -> None:
        self.objective, self.settings = objective, settings
        self.png: bytes | None = None
        """The finished image's file, as ``dreamopt render`` writes it."""
        self.job: LongJob | None = None
        self.is_watched = False
        self._network, self._provenance = network, dict(provenance)
        self._lock = threading.Lock()
        self._events: list[dict[str, Any]] = []
        self._notify: Callable[[], object] = lambda: None
        self._step, self._shown_at = 0, 0.0

    def watch(self, notify: Callable[[], object]) -> None:
        """Call ``notify``, from any thread, whenever there are events."""
        with self._lock:
            self.is_watched, self._notify = True, notify
        notify()

    def events(self) -> list[dict[str, Any]]:
        """Return the events since the last call."""
        with self._lock:
            events, self._events = self._events, []
        return events

    def stop(self) -> None:
        """End after this step, with the image as it is."""
        if self.job is not None and self.job.stop():
            self._say("failed", reason="it was stopped before it began")

    def run(self, job: LongJob) -> None:
        """Make the image; what goes wrong is an event."""
        started = time.monotonic()
        try:
            plan = replace(plan_render(self._network, self.objective, self.settings), provenance=self._provenance)
            self._say("begun", steps=plan.total_steps)
            [rendered] = run_plan(
                plan, self._network, callbacks=[lambda progress: self._after_step(progress, job)], stop=lambda: job.is_stopped
            )
            with tempfile.TemporaryDirectory(prefix="dreamopt-explore-") as folder:
                self.png = write_rendered(rendered, Path(folder) / "image.png").read_bytes()
        except DreamoptError as problem:
            self._say("failed", reason=str(problem))
            return
        except Exception as problem:
            self._say("failed", reason=report(problem))
            return
        seconds = round(time.monotonic() - started, 1)
        self._say("done", value=rendered.value, step=self._step, interrupted=rendered.interrupted, seconds=seconds)

    def _after_step(self, progress: Progress, job: LongJob) -> None:
        self._step += 1
        now = time.monotonic()
        if now - self._shown_at >= INTERVAL or self._step == 1:
            self._shown_at = now
            image = preview_image(progress.images()[:1], self._network, largest=LARGEST)
            self._say("frame", step=self._step, value=float(progress.values[0]), image=image)
        job.pause()

    def _say(self, kind: str, **facts: Any) -> None:
        with self._lock:
            if kind == "frame":
                self._events = [event for event in self._events if event["kind"] != "frame"]
            self._events.append({"kind": kind, **facts})
            notify = self._notify
        notify()
