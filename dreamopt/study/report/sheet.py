"""The contact sheet: units down, contestants across, each cell one image with all that is known of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from dreamopt.study.report.thumbnails import data_uri
from dreamopt.study.request import Request
from dreamopt.study.run import Row

MOST_CELLS = 240
"""Images that one page holds small copies of; further units are on pages of their own."""


@dataclass(frozen=True)
class Cell:
    """A contestant's runs on a unit.

    Parameters
    ----------
    contestant : str
        Its name.
    runs : tuple of Row
        By number; none where the contestant was stopped before, or the study is unfinished.
    shown : Row or None
        Whose image is shown: the first that has one.
    thumbnail : str or None
        That image, small; None where its file is not there.
    """

    contestant: str
    runs: tuple[Row, ...]
    shown: Row | None
    thumbnail: str | None

    @property
    def failures(self) -> int:
        """How many of the runs failed."""
        return sum(row.status == "failed" for row in self.runs)


@dataclass(frozen=True)
class Line:
    """A unit's cells.

    Parameters
    ----------
    number : int
        Of all units of the study.
    net, unit : str
        Their names.
    label : str or None
        The class.
    cells : tuple of Cell
        In the order of the columns.
    """

    number: int
    net: str
    unit: str
    label: str | None
    cells: tuple[Cell, ...]


def pages_of(request: Request, columns: Sequence[str]) -> list[list[tuple[int, str, str]]]:
    """Return the units of each page of the sheet, each as its number, its net and its unit, so that no page has more than `MOST_CELLS`."""
    units = [(net.name, unit) for net in request.nets for unit in net.units]
    numbered = [(number, net, unit) for number, (net, unit) in enumerate(units)]
    most = max(1, MOST_CELLS // max(1, len(columns)))
    return [numbered[first : first + most] for first in range(0, len(numbered), most)] or [[]]


def lines_of(
    folder: Path, units: Sequence[tuple[int, str, str]], columns: Sequence[str], runs: Mapping[tuple[str, str, str], Sequence[Row]]
) -> list[Line]:
    """Return the lines of a page.

    Parameters
    ----------
    folder : Path
        The study's, with its images.
    units
        As of `pages_of`.
    columns : sequence of str
        Names of contestants.
    runs : mapping
        Scored runs by contestant, net and unit, by number.
    """
    lines = []
    for number, net, unit in units:
        cells = [_cell(folder, name, runs.get((name, net, unit), ())) for name in columns]
        label = next((row.label for cell in cells for row in cell.runs if row.label is not None), None)
        lines.append(Line(number, net, unit, label, tuple(cells)))
    return lines


def scored_runs(request: Request, rows: Sequence[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """Return scored runs, and the reference's, by contestant, net and unit."""
    runs: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.phase == ("reference" if row.contestant == request.reference.name else "score"):
            runs.setdefault((row.contestant, row.net, row.unit), []).append(row)
    return {where: sorted(several, key=lambda row: row.number) for where, several in runs.items()}


def image_path(folder: Path, row: Row) -> Path | None:
    """Return the file of a run's image, which lies in the study's folder whatever a row of somebody else says; None where there is none."""
    if not row.image or row.status == "failed":
        return None
    path = folder / row.image
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
        return path if inside and path.is_file() else None
    except (OSError, ValueError):
        return None


def link(row: Row) -> str:
    """Return a run's image as a link on the page, relative to it."""
    return quote(row.image)


def _cell(folder: Path, contestant: str, runs: Sequence[Row]) -> Cell:
    images = {row.number: path for row in runs if (path := image_path(folder, row)) is not None}
    shown = next((row for row in runs if row.number in images), None)
    thumbnail = None if shown is None else data_uri(images[shown.number])
    return Cell(contestant, tuple(runs), shown, thumbnail)
