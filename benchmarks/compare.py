"""Run the benchmarks, save what they measured, and hold it against the last saved run of this machine.

``python -m benchmarks.compare [--fail] [--floor 0.1] [--storage FOLDER] [-- ARGUMENTS OF PYTEST]``

Each benchmark is held against the newest earlier run on such a processor that has it. A change is called one where the middle
halves of the rounds, then and now, do not overlap; where the median moved by more than the floor; and where it did so too beside a fixed
piece of work that ran just before and after, which has nothing to do with dreamopt and tells how fast the machine was.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.children import REPOSITORY

STORAGE = REPOSITORY / ".benchmarks"
FLOOR = 0.1
FLOOR_OF_FEW = 0.5
"""Where there were less than three rounds, which tell no spread."""


class Timed(NamedTuple):
    """What one run measured of one benchmark.

    Parameters
    ----------
    median, q1, q3 : float
        Seconds: the median and the quartiles of the rounds.
    rounds : int
        How many there were.
    reference : float or None
        Milliseconds that the fixed piece of work took just then.
    when : str
        The run's date and time.
    """

    median: float
    q1: float
    q3: float
    rounds: int
    reference: float | None
    when: str


class SavedRun(NamedTuple):
    """A run that was saved: the processor and what it measured, by the benchmarks' names."""

    machine: str
    timed: dict[str, Timed]


def read_run(path: Path) -> SavedRun:
    """Return what pytest-benchmark saved in a file."""
    saved = json.loads(path.read_text(encoding="utf-8"))
    info = saved["machine_info"]
    cpu = info.get("cpu", {})
    machine = f"{cpu.get('brand_raw') or info.get('processor') or info.get('machine')}, {cpu.get('count', '?')} cores"
    timed = {}
    for one in saved["benchmarks"]:
        stats = one["stats"]
        reference = one["extra_info"].get("reference_ms")
        timed[one["fullname"]] = Timed(stats["median"], stats["q1"], stats["q3"], stats["rounds"], reference, saved["datetime"][:16])
    return SavedRun(machine, timed)


def earlier(now: SavedRun, runs: Iterable[SavedRun]) -> dict[str, Timed]:
    """Return the newest result of each benchmark among runs, oldest first, of the same machine."""
    then: dict[str, Timed] = {}
    for run in runs:
        if run.machine == now.machine:
            then |= run.timed
    return {name: timed for name, timed in then.items() if name in now.timed}


def verdict(then: Timed, now: Timed, floor: float = FLOOR) -> str:
    """Return "slower", "faster", or "" for a change within the noise.

    >>> quick, slow = Timed(1.0, 0.9, 1.1, 7, 5.0, ""), Timed(1.5, 1.4, 1.6, 7, 5.0, "")
    >>> verdict(quick, slow), verdict(slow, quick), verdict(quick, slow._replace(reference=7.6)), verdict(quick, slow._replace(q1=1.0))
    ('slower', 'faster', '', '')
    """
    if not then.median > 0 or not now.median > 0:
        return ""
    floor = max(floor, FLOOR_OF_FEW) if min(then.rounds, now.rounds) < 3 else floor
    change = math.log(now.median / then.median)
    beside = change if not then.reference or not now.reference else change - math.log(now.reference / then.reference)
    least = math.log1p(floor)
    if now.q1 > then.q3 and min(change, beside) > least:
        return "slower"
    return "faster" if now.q3 < then.q1 and max(change, beside) < -least else ""


def table(then: dict[str, Timed], now: dict[str, Timed], floor: float = FLOOR) -> tuple[Table, list[str]]:
    """Return the table of ratios, and the names of those that became slower beyond the noise."""
    made = Table(title="median now / median then; the machine's is that of a fixed piece of work beside it")
    made.add_column("benchmark", overflow="fold")
    for column in ("then, median (IQR)", "now, median (IQR)", "ratio", "machine's", ""):
        made.add_column(column, justify="right", no_wrap=True)
    slower = []
    for name, timed in now.items():
        before = then.get(name)
        if before is None:
            made.add_row(escape(_short(name)), "-", _spread(timed), "", "", "new")
            continue
        mark = verdict(before, timed, floor)
        slower += [name] * (mark == "slower")
        machine = f"{timed.reference / before.reference:.2f}" if timed.reference and before.reference else ""
        ratio = f"{timed.median / before.median:.2f}" if before.median > 0 else ""
        style = {"slower": "bold red", "faster": "green"}.get(mark, "")
        made.add_row(escape(_short(name)), _spread(before), _spread(timed), ratio, machine, mark, style=style)
    return made, slower


def _short(name: str) -> str:
    return name.removeprefix("benchmarks/test_").replace(".py::test_", ": ")


def _spread(timed: Timed) -> str:
    """Write a median and the distance of the quartiles in a unit of three to four digits."""
    unit, factor = next((u, f) for u, f in (("s", 1.0), ("ms", 1e3), ("us", 1e6)) if timed.median * f >= 1 or u == "us")
    return f"{timed.median * factor:.3g} ({(timed.q3 - timed.q1) * factor:.2g}) {unit}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fail", action="store_true", help="end with status 1 where a benchmark became slower beyond the noise")
    parser.add_argument("--floor", type=float, default=FLOOR, help="changes of the median up to this part are within the noise")
    parser.add_argument("--storage", type=Path, default=STORAGE, help="where runs are saved")
    parser.add_argument("pytest", nargs="*", help="after --: arguments of pytest, -k startup for instance")
    asked = parser.parse_args(arguments)
    files = set(_files(asked.storage))
    command = [sys.executable, "-m", "pytest", "benchmarks", "-q", "-p", "no:cacheprovider", "--benchmark-autosave", "--benchmark-quiet"]
    status = subprocess.run(
        [*command, f"--benchmark-storage={asked.storage.resolve()}", *asked.pytest], cwd=REPOSITORY, check=False
    ).returncode
    new = [path for path in _files(asked.storage) if path not in files]
    console = Console(width=max(Console().width, 130))
    if not new:
        console.print("nothing was measured")
        return status or 1
    now = read_run(new[-1])
    compared = report(console, now, [read_run(path) for path in _files(asked.storage) if path in files], asked.floor, asked.fail)
    return status or compared


def report(console: Console, now: SavedRun, before: Sequence[SavedRun], floor: float = FLOOR, fail: bool = False) -> int:
    """Print the comparison and return the status to end with."""
    then = earlier(now, before)
    made, slower = table(then, now.timed, floor)
    console.print(made)
    if not then:
        console.print(
            f"No earlier run with these benchmarks on this machine ({now.machine}) was saved: this one is, and the next is held against it."
        )
        return 0
    dates = sorted({timed.when for timed in then.values()})
    since = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    console.print(f"{now.machine}; held against {since}: {len(slower)} of {len(then)} slower beyond the noise")
    return 1 if fail and slower else 0


def _files(storage: Path) -> list[Path]:
    """Return what was saved, oldest first: pytest-benchmark numbers its files."""
    return sorted(storage.glob("*/[0-9]*_*.json"), key=lambda path: (path.name.partition("_")[0].zfill(9), path.stat().st_mtime))


if __name__ == "__main__":
    sys.exit(main())
