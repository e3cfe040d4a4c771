"""A bar in a terminal, by rich: it keeps what is printed meanwhile above it, and leaves the cursor as it was, whatever ends the work."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from dreamopt.errors import printable
from dreamopt.progress.surface import Moving, State

WIDE = 160
"""Columns of what is no terminal."""
NARROW = 110
"""Columns of a terminal below which the bar is shorter, so that the numbers beside it have room."""


def console(stderr: bool = False) -> Console:
    """Return a console; into a pipe or file it writes plain lines that are wide enough not to be folded."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=None if terminal else WIDE, highlight=False, markup=False, emoji=False)


class TerminalBar(Moving):
    """What is under way, a bar, how much is done, facts, the time since the start and the time that is left."""

    def __init__(self, bar: Progress) -> None:
        super().__init__()
        self.bar = bar
        self.task = bar.add_task("", total=None, what="", count="", facts="", left="")

    def draw(self, state: State) -> None:
        """Draw the bar."""
        self.bar.update(
            self.task,
            completed=state.done,
            total=state.total,
            what=printable(state.what),
            count=state.count,
            facts=printable(state.known_facts),
            left=state.left,
        )

    def note(self, line: str) -> None:
        """Print a line above the bar."""
        self.bar.console.print(printable(line), markup=False, highlight=False)


@contextlib.contextmanager
def terminal_bar(on: Console | None = None) -> Iterator[TerminalBar]:
    """Show a bar on stderr, or another console, while the context lasts."""
    on = console(stderr=True) if on is None else on
    what, count, facts, left = (TextColumn("{task.fields[" + name + "]}", markup=False) for name in ("what", "count", "facts", "left"))
    length = 40 if on.width >= NARROW else 16
    # What a program prints into a file or a pipe goes there, though the bar is in a terminal.
    printed = sys.stdout is not None and sys.stdout.isatty()
    with Progress(what, BarColumn(length), count, facts, TimeElapsedColumn(), left, console=on, redirect_stdout=printed) as bar:
        yield TerminalBar(bar)
