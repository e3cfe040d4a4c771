"""Reads files that were damaged by a seed with every reader: none may end in a traceback, hang, take much memory, or write elsewhere.

python -m tools.fuzz --count 20000 --seed 0
python -m tools.fuzz --reader npy --file fuzz-faults/npy-0-17.npy
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dreamopt.errors import printable
from tests.support.fuzzing.harness import Case, Report, fuzz, spread
from tests.support.readers import READERS


@click.command()
@click.option("--count", default=20000, show_default=True, help="Files, over all readers.")
@click.option("--seed", default=0, show_default=True, help="Other files for each.")
@click.option("--reader", "readers", multiple=True, type=click.Choice(list(READERS)), help="This reader alone; may be given several times.")
@click.option("--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read this file again, with --reader.")
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path("fuzz-faults"), show_default=True, help="Where files with faults are kept."
)
def main(count: int, seed: int, readers: tuple[str, ...], path: Path | None, workers: int, out: Path) -> None:
    """Read mutated files, and show what is wrong with how they are read."""
    console, names = Console(), readers or tuple(READERS)
    if path is not None:
        if len(names) != 1:
            raise click.UsageError("--file needs the one --reader that reads it")
        report = _again(names[0], path)
    else:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("mutated files", total=count)
            report = fuzz(spread(count, names, seed), out, workers, lambda case: progress.advance(task))
    _show(console, report)
    sys.exit(1 if report.faults else 0)


def _again(name: str, path: Path) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        sample = READERS[name].make(Path(folder))
        stem, dot, suffix = sample.name.partition(".")
        copy = sample.with_name(f"{stem}-changed{dot}{suffix}")
        shutil.copy(path, copy)
        report = fuzz([[Case(name, path=copy)]], None, 1)
    for _, _, answer in report.faults[:1]:
        click.echo(printable(answer.get("text", "")))
        click.echo(answer.get("trace", ""))
    return report


def _show(console: Console, report: Report) -> None:
    table = Table("reader", "files", "read", "refused", "faults")
    for name, counts in report.results.items():
        faults = sum(case.reader == name for case, _, _ in report.faults)
        table.add_row(name, str(sum(counts.values())), str(counts["read"]), str(counts["refused"]), str(faults))
    console.print(table)
    seconds, case = report.slowest
    console.print(f"slowest: {seconds:.1f} s, {case}", markup=False, highlight=False)
    for kind, cases in report.kinds().items():
        numbers = ", ".join(str(case.number) for case, _, _ in cases[:4])
        console.print(f"{len(cases)} x {printable(kind)} (numbers {numbers})", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
