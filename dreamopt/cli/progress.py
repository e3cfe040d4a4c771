"""Progress of a rendering on stderr, and Ctrl-C as a wish to stop."""

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
    from dreamopt.optimize import Progress as Climb

EVERY = 10.0  # seconds between lines where stderr is no terminal
SOON = 1.0  # seconds before the first: it shows that the climb began


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a wish, and yield what asks for it; a second one interrupts at once."""
    wished = False

    def wish(number: int, frame: FrameType | None) -> None:
        nonlocal wished
        if wished:
            raise KeyboardInterrupt
        wished = True
        click.echo("\ndreamopt: stopping after this step, with the best so far (Ctrl-C again: at once).", err=True)

    try:
        before = signal.signal(signal.SIGINT, wish)
    except ValueError:  # not the main thread: there Ctrl-C goes elsewhere anyway
        yield lambda: False
        return
    try:
        yield lambda: wished
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def rendering(quiet: bool, targets: int, steps: int) -> Iterator[Callable[["Climb"], None]]:
    """Show pictures' steps done, the mean value, steps per second and time left; yield the callback that reports.

    One step of one picture counts as one, so that batches of different sizes move the bar evenly.
    """
    if quiet:
        yield lambda climb: None
        return
    if not sys.stderr.isatty():
        yield _Lines(targets * steps)
        return
    columns = (
        TextColumn("{task.fields[what]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("value {task.fields[value]}"),
        TextColumn("{task.fields[speed]} steps/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        what = "picture" if targets == 1 else f"{targets} pictures"
        task = bar.add_task("", total=targets * steps, what=what, value="", speed="")
        done, began = 0, time.monotonic()

        def report(climb: "Climb") -> None:
            nonlocal done
            done += climb.problem.n
            speed = (done / climb.problem.n) / max(time.monotonic() - began, 1e-9)
            bar.update(task, completed=done, value=f"{climb.values.mean():.4g}", speed=f"{speed:.1f}")

        yield report


class _Lines:
    """Progress as a line now and then, for logs."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.began = time.monotonic()
        self.said = self.began - EVERY + SOON

    def __call__(self, climb: "Climb") -> None:
        self.done += climb.problem.n
        now = time.monotonic()
        if now - self.said < EVERY and self.done < self.total:
            return
        self.said = now
        rate = self.done / max(now - self.began, 1e-9)
        left = (self.total - self.done) / rate
        value = climb.values.mean()
        click.echo(f"{self.done}/{self.total} steps, value {value:.4g}, {rate:.1f} steps/s, {left:.0f} s left", err=True)
