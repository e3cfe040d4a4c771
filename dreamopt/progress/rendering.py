"""Progress of images that are optimized: steps done, their values, speed and time left; of a film, its frames."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from dreamopt.progress.surface import State, Surface, say, surface
from dreamopt.progress.work import Work, clock, values_of

if TYPE_CHECKING:
    from dreamopt.optimize import Progress as RunProgress


class Report:
    """What is called after each step, and after each tile of a step that is computed in tiles.

    Parameters
    ----------
    work : Work
        What is counted.
    shown : Surface
        Where it is shown.
    """

    def __init__(self, work: Work, shown: Surface) -> None:
        self.work, self.shown = work, shown
        self._values = ""

    @property
    def callbacks(self) -> tuple[Callable[[RunProgress], None], ...]:
        """Return the report itself where it is shown: a run without callbacks takes no time for them."""
        return (self,) if self.shown.is_shown else ()

    def __call__(self, run: RunProgress) -> None:
        """Count a step."""
        self.work.add(run)

        def state() -> State:
            # Only now values leave the net's device.
            self._values = values_of(run.values.tolist())
            return self.state(self.work.cost, f"{self.work.done}/{self.work.steps} steps")

        self.shown.offer(state, finished=self.work.done >= self.work.steps)

    def tile(self, done: int, count: int) -> None:
        """Show how many tiles of a step are done."""
        if done < count:
            steps = f"{self.work.done}/{self.work.steps} steps, tile {done}/{count} of the next"
            self.shown.offer(lambda: self.state(self.work.part_of_step(done, count), steps, line=steps))

    def state(self, cost: float, steps: str, line: str = "") -> State:
        """Return how far the job is."""
        work = self.work
        speed = f"{work.speed():.3g} steps/s" if work.done else ""
        hourly = work.images_an_hour() if work.done else ""
        what = "image" if work.samples == 1 else f"{work.samples} images"
        line = line or ", ".join(filter(None, (steps, self._values, speed, hourly, work.left_words())))
        return State(cost, work.total, steps, what, (self._values, hourly or speed), work.left_words(), line)


@contextlib.contextmanager
def rendering(progress: bool | None, targets: int, steps: int, stages: Sequence[tuple[int, float]] | None = None) -> Iterator[Report]:
    """Show images' steps done, their values, steps per second (of several, images an hour) and time left; yield what reports.

    After several images, a line says how many an hour were made.

    One step of one image counts as one, so that batches of different sizes move the bar evenly.

    Parameters
    ----------
    progress : bool, optional
        As for `dreamopt.progress.surface.surface`.
    targets, steps : int
        Images, and the steps of each.
    stages : sequence of (int, float), optional
        Steps of each of an image's runs, and how many pixels it has in it; by default all are alike.
    """
    with surface(progress) as shown:
        report = Report(Work(targets, steps, stages), shown)
        shown.offer(lambda: report.state(0.0, f"0/{report.work.steps} steps"))
        yield report
    summary = report.work.summary() if shown.is_shown else None
    if summary is not None:
        say(f"dreamopt: {summary}")


@contextlib.contextmanager
def filming(progress: bool | None, frames: int) -> Iterator[Callable[[], None]]:
    """Show a film's finished frames, seconds a frame and time left; yield the function that counts one more."""
    started, done = time.monotonic(), 0
    with surface(progress) as shown:

        def state() -> State:
            each = (time.monotonic() - started) / done
            left = f"{clock(max(frames - done, 0) * each)} left"
            return State(done, frames, f"{done}/{frames} frames", "", (f"{each:.3g} s a frame",), left)

        def count() -> None:
            nonlocal done
            done += 1
            shown.offer(state, finished=done >= frames)

        yield count
