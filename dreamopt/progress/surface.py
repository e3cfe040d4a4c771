"""Where progress is shown: a terminal, a notebook, a log, or nowhere; one at a time in a process."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from dreamopt.errors import UsageError, printable
from dreamopt.parts.checks import shown
from dreamopt.progress.audience import in_kernel, is_terminal, somebody_looks

EVERY = 10.0
"""Seconds between two lines of a log."""
SOON = 1.0
"""Seconds before the first: it shows that the work has started."""
_CLAIM = threading.Lock()
Report = TypeVar("Report", bound=Callable[..., object])


@dataclass(frozen=True)
class State:
    """How far some work is.

    Parameters
    ----------
    done : float
        How much is done, in any unit.
    total : float, optional
        Of how much; None where it is not known.
    count : str
        The same for people, as "3/10 runs".
    what : str
        What is under way.
    facts : sequence of str
        Values, speed; empty ones are left out.
    left : str
        The time that is left.
    line : str
        All of it as a log has it; by default the other parts, with commas.
    """

    done: float
    total: float | None
    count: str
    what: str = ""
    facts: tuple[str, ...] = ()
    left: str = ""
    line: str = ""

    @property
    def known_facts(self) -> str:
        """The facts with commas."""
        return ", ".join(filter(None, self.facts))

    @property
    def as_line(self) -> str:
        """The line of a log."""
        return self.line or ", ".join(filter(None, (self.count, self.what, *self.facts, self.left)))


class Surface:
    """Nowhere: nothing is shown but notes."""

    is_shown: ClassVar[bool] = False

    def offer(self, state: Callable[[], State], finished: bool = False) -> None:
        """Show a state, if it is time; only then it is asked for. One that is ``finished`` is always shown."""

    def note(self, line: str) -> None:
        """Print a line, above a bar."""
        say(line)

    def close(self) -> None:
        """Show the last state that was offered."""


class Log(Surface):
    """A line now and then, where stderr is no terminal.

    Parameters
    ----------
    first : float
        Seconds before the first line.
    """

    is_shown = True

    def __init__(self, first: float = SOON) -> None:
        self.reported = time.monotonic() - EVERY + first

    def offer(self, state: Callable[[], State], finished: bool = False) -> None:
        """Print a line, if it is time."""
        now = time.monotonic()
        if finished or now - self.reported >= EVERY:
            self.reported = now
            say(state().as_line)


class Moving(Surface):
    """A bar, which is drawn anew in its place: at most every ``pause`` seconds, and at the end."""

    is_shown = True
    pause: ClassVar[float] = 0.1

    def __init__(self) -> None:
        self._drawn: float | None = None
        self._waiting: Callable[[], State] | None = None

    def draw(self, state: State) -> None:
        """Draw the bar."""
        raise AssertionError(f"{type(self).__name__} does not say how it is drawn")

    def offer(self, state: Callable[[], State], finished: bool = False) -> None:
        """Draw a state, or keep it until it is time."""
        now = time.monotonic()
        if not finished and self._drawn is not None and now - self._drawn < self.pause:
            self._waiting = state
            return
        self._drawn, self._waiting = now, None
        self.draw(state())

    def close(self) -> None:
        """Draw what waits."""
        if self._waiting is not None:
            self.draw(self._waiting())
            self._waiting = None


@contextlib.contextmanager
def surface(progress: bool | None, *, first: float = SOON) -> Iterator[Surface]:
    """Yield where progress is shown.

    While one is shown, work inside it or in another thread shows nothing of its own: two bars in one terminal would spoil each other.

    Parameters
    ----------
    progress : bool, optional
        True: a bar, or lines where stderr is no terminal. False: nowhere. None: a bar where somebody looks
        (`dreamopt.progress.audience.somebody_looks`), else nowhere.
    first : float
        Seconds before the first line of a log.

    Raises
    ------
    UsageError
        For anything else.
    """
    if not (progress is None or isinstance(progress, bool)):
        raise UsageError(f"progress must be True, False or None, not {shown(progress)}")
    if not (somebody_looks() if progress is None else progress) or not _CLAIM.acquire(blocking=False):
        yield Surface()
        return
    try:
        with _opened(first) as opened:
            try:
                yield opened
            finally:
                opened.close()
    finally:
        _CLAIM.release()


@contextlib.contextmanager
def reporting(progress: bool | Report | None, make: Callable[[Surface], Report]) -> Iterator[Report | None]:
    """Yield what is called as the work goes on: the function that is given, or else what `make` makes of where progress is shown.

    Where nothing is shown, that is None.
    """
    if callable(progress):
        yield progress
        return
    with surface(progress) as shown:
        yield make(shown) if shown.is_shown else None


@contextlib.contextmanager
def _opened(first: float) -> Iterator[Surface]:
    if in_kernel():
        from dreamopt.progress.notebook import NotebookBar

        yield NotebookBar()
    elif is_terminal():
        from dreamopt.progress.terminal import terminal_bar

        with terminal_bar() as bar:
            yield bar
    else:
        yield Log(first)


def say(line: object) -> None:
    """Print one line on stderr; line ends and control characters in it are shown as in Python's literals."""
    if sys.stderr is not None:
        print(printable(line), file=sys.stderr, flush=True)
