"""Progress of images that pass through a net: a set that is walked over, attributions, comparisons of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from dreamopt.progress.surface import EVERY, State, Surface, reporting, surface
from dreamopt.progress.work import clock

if TYPE_CHECKING:
    from dreamopt.attribution.compare.compare import Progress as Compared
    from dreamopt.dataset.listing import Listing
    from dreamopt.dataset.stream import Progress as PassProgress


def ranking(
    progress: bool | Callable[[PassProgress], object] | None, listing: Listing
) -> AbstractContextManager[Callable[[PassProgress], object] | None]:
    """Show how many of a set's images are done, images per second and time left; the context gives what is called after each batch.

    A function that is given is that, and nothing is shown; so for all that follow here.
    """

    def report(shown: Surface) -> Callable[[PassProgress], object]:
        total, begun = listing.count(), list[tuple[float, int]]()

        def state(now: PassProgress) -> State:
            seconds = time.monotonic()
            if not begun:  # what was done before, and the first batch, for which the net is prepared, are no measure
                begun.append((seconds, now.done))
            speed = (now.done - begun[0][1]) / max(seconds - begun[0][0], 1e-9)
            left = max(total - now.done, 0) / speed if speed else 0.0
            facts = (f"{speed:.3g} images/s" if speed else "", f"{now.skipped} skipped" if now.skipped else "")
            whole = max(total, now.done)
            return State(now.done, whole, f"{now.done}/{total} images", "", facts, f"{clock(left)} left")

        def update(now: PassProgress) -> None:
            shown.offer(lambda: state(now), finished=now.complete)

        return update

    return reporting(progress, report)


class Attributing:
    """Passes that are done, of those that are known; of a method that does not know how many it makes they come on top."""

    def __init__(self, shown: Surface, passes: int) -> None:
        self.shown, self.what, self.total, self.done = shown, "", passes, 0
        self.is_known = False
        self.started = time.monotonic()

    def begin(self, what: str, passes: int | None) -> None:
        """Go on to a method of an image, which passes so many images through the net, where that is known."""
        self.what, self.is_known = what, passes is not None

    def add(self, passes: int) -> None:
        """Count images that passed through the net."""
        self.done += passes
        self.total = max(self.total if self.is_known else self.total + passes, self.done)
        self.shown.offer(lambda: passes_state(self.what, self.done, self.total, self.started))

    def note(self, line: str) -> None:
        """Print a line."""
        self.shown.note(line)


def passes_state(what: str, done: int, total: int, started: float) -> State:
    """Return how far passes through a net are that began then."""
    left = f"about {clock((time.monotonic() - started) / max(done, 1) * (total - done))} left"
    count = f"{done}/{total} passes"
    return State(done, total, count, what, (), left, f"{what}: {count}, {left}" if what else f"{count}, {left}")


@contextlib.contextmanager
def attributing(progress: bool | None, passes: int) -> Iterator[Attributing]:
    """Show how many of the known passes through the net are done, and the time left; yield what is called."""
    with surface(progress, first=EVERY) as shown:
        yield Attributing(shown, passes)


def tuning(progress: bool | Callable[[int, int], object] | None) -> AbstractContextManager[Callable[[int, int], object] | None]:
    """Show how many stimuli layers were shown, and the time left; the context gives what is called with how many, and of how many."""

    def report(shown: Surface) -> Callable[[int, int], object]:
        started = time.monotonic()
        return lambda done, total: shown.offer(lambda: passes_state("", done, total, started))

    return reporting(progress, report)


def comparing(progress: bool | Callable[[Compared], object] | None) -> AbstractContextManager[Callable[[Compared], object] | None]:
    """Show how many passes of a comparison are done, what is computed, and the time left; the context gives what is called."""

    def report(shown: Surface) -> Callable[[Compared], object]:
        started = time.monotonic()
        return lambda now: shown.offer(lambda: passes_state(now.what, now.done, now.total, started))

    return reporting(progress, report)
