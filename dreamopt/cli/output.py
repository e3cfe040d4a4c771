"""Tables on stdout and bars on stderr, by rich; lines are printed by `dreamopt.cli.echo`."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from dreamopt.errors import printable

WIDE = 160


def cell(text: object) -> Text:
    """Return a text for a table or a bar of rich, which takes it as it is."""
    return Text(printable(text))


def console(stderr: bool = False) -> Console:
    """Return a console; into a pipe or file it writes plain lines that are wide enough not to be folded."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=None if terminal else WIDE, highlight=False, markup=False, emoji=False)


@contextlib.contextmanager
def download_progress(quiet: bool) -> Iterator[Callable[[str, int, int | None], None] | None]:
    """Show one bar per file on stderr, and yield what reports to it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True)) as bars:
        tasks = {}

        def report(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(printable(name), total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield report
