"""Cells of tables on stdout and bars of downloads on stderr, by rich; lines are printed by `dreamopt.cli.echo`."""

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from dreamopt.errors import printable
from dreamopt.progress.audience import is_terminal
from dreamopt.progress.terminal import console


def cell(text: object) -> Text:
    """Return a text for a table or a bar of rich, which takes it as it is."""
    return Text(printable(text))


@contextlib.contextmanager
def download_progress(quiet: bool) -> Iterator[Callable[[str, int, int | None], None] | None]:
    """Show one bar per file on stderr, and yield what reports to it."""
    if quiet or not is_terminal():
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
