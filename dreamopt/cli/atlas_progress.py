"""Progress of an atlas on stderr: results done, units an hour, time left; a line at least once a minute."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dreamopt.cli.echo import echo
from dreamopt.cli.output import console
from dreamopt.cli.progress import EVERY, clock
from dreamopt.errors import printable

if TYPE_CHECKING:
    from dreamopt.atlas.run import AtlasProgress

BEAT = 30.0
"""Seconds after which a line is printed though nothing was done."""


@contextlib.contextmanager
def charting(quiet: bool) -> Iterator[Callable[[AtlasProgress], None] | None]:
    """Show how far an atlas is; yield what is called before the first task and after each."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        with _lines() as report:
            yield report


def summary(progress: AtlasProgress) -> str:
    """Return what is said at the end."""
    if not progress.count:
        return "everything was there: nothing to make"
    failed = "" if not progress.failed else f"; {progress.failed} could not be made, and their records say why"
    return f"{progress.done} results in {clock(progress.seconds)}, {pace(progress)}{failed}"


def pace(progress: AtlasProgress) -> str:
    """Return how fast it is.

    >>> from dreamopt.atlas.run import AtlasProgress
    >>> pace(AtlasProgress(30, 100, seconds=60.0))
    '1800 units an hour'
    """
    return f"{progress.units_per_hour:.0f} units an hour"


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[AtlasProgress], None]]:
    names = ("what", "speed", "left")
    fields = [TextColumn("{task.fields[" + name + "]}", markup=False) for name in names]
    last: AtlasProgress | None = None
    with Progress(BarColumn(), MofNCompleteColumn(), *fields, TimeElapsedColumn(), console=console(stderr=True)) as bar:
        task = bar.add_task("", total=None, what="", speed="", left="")

        def update(progress: AtlasProgress) -> None:
            nonlocal last
            last, left = progress, progress.seconds_left
            what, speed = printable(f"{progress.piece} {progress.layer}"), pace(progress) if progress.done else ""
            shown = "" if left is None else f"{clock(left)} left"
            bar.update(task, completed=progress.done, total=progress.count, what=what, speed=speed, left=shown)

        yield update
    if last is not None:
        echo(f"dreamopt: {summary(last)}", err=True)


@contextlib.contextmanager
def _lines() -> Iterator[Callable[[AtlasProgress], None]]:
    lock, ended = threading.Lock(), threading.Event()
    last: AtlasProgress | None = None
    reported = time.monotonic() - EVERY

    def line(progress: AtlasProgress, why: str = "") -> None:
        nonlocal reported
        reported = time.monotonic()
        left = progress.seconds_left
        parts = [f"{progress.done}/{progress.count} results", f"{progress.piece} {progress.layer}".strip(), why]
        parts += [pace(progress), "" if left is None else f"{clock(left)} left"] if progress.done else []
        echo(", ".join(part for part in parts if part), err=True)

    def update(progress: AtlasProgress) -> None:
        nonlocal last
        with lock:
            last = progress
            if time.monotonic() - reported >= EVERY and progress.count:
                line(progress)

    def beat() -> None:
        while not ended.wait(BEAT / 4):
            with lock:
                if last is not None and time.monotonic() - reported >= BEAT:
                    line(last, "at work")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield update
    finally:
        ended.set()
        thread.join()
    if last is not None:
        echo(f"dreamopt: {summary(last)}", err=True)
