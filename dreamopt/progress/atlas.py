"""Progress of an atlas: results done, units an hour, time left; in a log a line at least once a minute."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dreamopt.progress.surface import EVERY, Log, State, Surface, say, surface
from dreamopt.progress.work import clock

if TYPE_CHECKING:
    from dreamopt.atlas.run import AtlasProgress

BEAT = 30.0
"""Seconds after which a line is printed though nothing was done."""


@contextlib.contextmanager
def charting(progress: bool | Callable[[AtlasProgress], object] | None) -> Iterator[Callable[[AtlasProgress], object] | None]:
    """Show how far an atlas is; yield what is called before the first task and after each: the function that is given, if one is."""
    if callable(progress):
        yield progress
        return
    last: AtlasProgress | None = None
    lock = threading.Lock()  # a log's beat comes from a thread of its own
    with surface(progress, first=0.0) as shown:
        if not shown.is_shown:
            yield None
            return

        def update(now: AtlasProgress) -> None:
            nonlocal last
            with lock:
                last = now
                if now.count:
                    shown.offer(lambda: state(now))

        def beat() -> None:
            with lock:
                if last is not None:
                    now = last
                    shown.offer(lambda: state(now, "at work"))

        with _beating(shown, beat):
            yield update
    if last is not None:
        say(f"dreamopt: {summary(last)}")


def state(now: AtlasProgress, why: str = "") -> State:
    """Return how far an atlas is."""
    left = now.seconds_left
    facts = (why, pace(now) if now.done else "")
    what = f"{now.piece} {now.layer}".strip()
    return State(now.done, now.count, f"{now.done}/{now.count} results", what, facts, "" if left is None else f"{clock(left)} left")


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
def _beating(shown: Surface, beat: Callable[[], None]) -> Iterator[None]:
    """Let a log have a line though nothing was done: a task may take long. A bar shows the time by itself."""
    if not isinstance(shown, Log):
        yield
        return
    ended = threading.Event()

    def beats() -> None:
        while not ended.wait(max(BEAT, EVERY)):
            beat()

    thread = threading.Thread(target=beats, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
