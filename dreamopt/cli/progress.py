"""Progress of a render on stderr, and the graceful interrupt: Ctrl-C stops after the current step."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dreamopt.cli.output import console

if TYPE_CHECKING:
    from dreamopt.optimize import Progress as RunProgress

EVERY = 10.0  # seconds between lines where stderr is no terminal
SOON = 1.0  # seconds before the first: it shows that the run has started


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Make Ctrl-C a graceful interrupt: yield a function that tells whether it was pressed; a second one interrupts at once."""
    requested = False

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt
        requested = True
        click.echo("\ndreamopt: stopping after this step, with the best so far (Ctrl-C again: at once).", err=True)

    try:
        previous = signal.signal(signal.SIGINT, request)
    except ValueError:  # not the main thread: there Ctrl-C goes elsewhere anyway
        yield lambda: False
        return
    try:
        yield lambda: requested
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def rendering(quiet: bool, targets: int, steps: int) -> Iterator[Callable[["RunProgress"], None]]:
    """Show images' steps done, the mean value, steps per second and time left; yield the callback that reports.

    One step of one image counts as one, so that batches of different sizes move the bar evenly.
    """
    if quiet:
        yield lambda run: None
        return
    if not sys.stderr.isatty():
        yield _Lines(targets * steps)
        return
    columns = (
        TextColumn("{task.fields[what]}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("value {task.fields[value]}", markup=False),
        TextColumn("{task.fields[speed]} steps/s", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        what = "image" if targets == 1 else f"{targets} images"
        task = bar.add_task("", total=targets * steps, what=what, value="", speed="")
        done, started = 0, time.monotonic()

        def report(run: "RunProgress") -> None:
            nonlocal done
            done += run.problem.n
            speed = (done / run.problem.n) / max(time.monotonic() - started, 1e-9)
            bar.update(task, completed=done, value=f"{run.values.mean():.4g}", speed=f"{speed:.1f}")

        yield report


@contextlib.contextmanager
def filming(quiet: bool, frames: int) -> Iterator[Callable[[], None]]:
    """Show a film's finished frames, seconds a frame and time left; yield the function that counts one more."""
    if quiet:
        yield lambda: None
        return
    started, done = time.monotonic(), 0
    if not sys.stderr.isatty():
        reported = started - EVERY + SOON

        def line() -> None:
            nonlocal done, reported
            done, now = done + 1, time.monotonic()
            if now - reported < EVERY and done < frames:
                return
            reported = now
            each = (now - started) / done
            click.echo(f"{done}/{frames} frames, {each:.3g} s a frame, {max(frames - done, 0) * each:.0f} s left", err=True)

        yield line
        return
    columns = (
        TextColumn("frames"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]} s a frame", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task("", total=frames, speed="")

        def count() -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=done, speed=f"{(time.monotonic() - started) / done:.3g}")

        yield count


class _Lines:
    """Progress as a line now and then, for logs."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.started = time.monotonic()
        self.reported = self.started - EVERY + SOON

    def __call__(self, run: "RunProgress") -> None:
        self.done += run.problem.n
        now = time.monotonic()
        if now - self.reported < EVERY and self.done < self.total:
            return
        self.reported = now
        rate = self.done / max(now - self.started, 1e-9)
        left = (self.total - self.done) / rate
        value = run.values.mean()
        click.echo(f"{self.done}/{self.total} steps, value {value:.4g}, {rate:.1f} steps/s, {left:.0f} s left", err=True)
