"""A study as an object: its rows, what they say, its tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dreamopt.errors import printable
from dreamopt.study.analysis import Analysis, analyse
from dreamopt.study.report.exports import has, ordered, run_records, table_of, trace_records
from dreamopt.study.report.scales import scales_of
from dreamopt.study.request import Request
from dreamopt.study.run import Row

if TYPE_CHECKING:
    from dreamopt.study.report.plot import Plot


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """What `dreamopt.bench` returns: a study's rows and all that they say.

    In a notebook it shows itself. It needs no net: `Study.open` reads it from its folder, on any machine.

    Parameters
    ----------
    folder : Path
        Where its rows, images and report are.
    request : Request
        What was compared on what.
    rows : tuple of Row
        One for each run.
    """

    folder: Path
    request: Request
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))
        object.__setattr__(self, "rows", tuple(ordered(self.request, self.rows)))

    @classmethod
    def open(cls, folder: str | Path, *, plugins: Sequence[str] = ()) -> Self:
        """Return the study of a folder, finished or not.

        Parameters
        ----------
        folder : path
            As `dreamopt bench` wrote it.
        plugins : sequence of str
            Names of installed plugins that its settings may name.

        Raises
        ------
        UsageError
            Where the folder holds no study, or a damaged one.
        """
        from dreamopt.study.folder import read_folders

        records = read_folders(folder, plugins=tuple(plugins))
        return cls(Path(folder), records.request, records.rows)

    @classmethod
    def merged(cls, folders: Sequence[str | Path], out: str | Path, *, plugins: Sequence[str] = ()) -> Self:
        """Return the study of rows that were made in several folders, on one machine or more, brought together in one folder.

        Rows and images are copied; the report is made by `report`. Seconds are compared on the machine alone that most runs were made on.

        Parameters
        ----------
        folders : sequence of path
            Of the same study.
        out : path
            A new folder, or one of the study.
        plugins : sequence of str
            As for `open`.

        Raises
        ------
        UsageError
            For a folder that holds no study, or another one than the first, with what differs.
        """
        from dreamopt.study.folder import StudyFolder, read_folders

        records = read_folders(*folders, plugins=tuple(plugins))
        with StudyFolder(out, records.request) as folder:
            for row in records.rows:
                folder.add(row, records.homes[row.key])
            return cls(folder.path, records.request, tuple(folder.rows()))

    @cached_property
    def analysis(self) -> Analysis:
        """All numbers that the report shows."""
        return analyse(self.request, self.rows)

    @property
    def winner(self) -> str | None:
        """The contestant that is better than each other one; None where there is none."""
        return self.analysis.winner

    @property
    def verdict(self) -> str:
        """The result in one or two sentences."""
        return self.analysis.verdict

    def table(self, net: str | None = None) -> Any:
        """Return one line of each contestant, the best first and the reference last.

        Columns: ``contestant``, ``value`` (the criterion's interquartile mean) with ``low`` and ``high``, ``difference`` to the reference
        with ``difference_low`` and ``difference_high``, ``p`` (corrected), ``rank``, ``runs``, ``failures``, ``state``, ``trial.*`` (what
        tuning set) and ``median.*`` (of each measure).

        Parameters
        ----------
        net : str, optional
            On one net of several.

        Returns
        -------
        pandas.DataFrame or list of dict
            A data frame where pandas is installed.
        """
        from dreamopt.study.report.table import standing_records

        return table_of(standing_records(self.analysis, net))

    def runs(self) -> Any:
        """Return one line of each run, as ``rows.csv`` has it: a data frame where pandas is installed, else a list of dicts."""
        return table_of(run_records(self.rows))

    def traces(self) -> Any:
        """Return one line of each point of each run's trace, as ``traces.csv`` has it; a data frame or a list, as of `runs`."""
        return table_of(trace_records(self.rows, scales_of(self.request, self.rows)))

    @cached_property
    def _plots(self) -> dict[str, Plot]:
        from dreamopt.study.report.plots import plots_of

        return plots_of(self.analysis, self.rows)

    @property
    def plots(self) -> tuple[str, ...]:
        """The names of the plots that the study has."""
        return tuple(self._plots)

    def plot(self, name: str) -> Any:
        """Return a plot as a matplotlib figure.

        Raises
        ------
        UsageError
            For a plot that the study does not have, with those that it has, and where matplotlib is not installed.
        """
        from dreamopt.study.report.plots import draw

        return draw(self._plots, name)

    def report(self) -> Path:
        """Write the report into the folder, and return the path of its page; it needs jinja2 and matplotlib."""
        from dreamopt.study.report.write import write_report

        return write_report(self.folder, self.request, self.analysis, self.rows, scales_of(self.request, self.rows))

    def __repr__(self) -> str:
        result = "no winner" if self.winner is None else f"winner {self.winner}"
        contestants, title = len(self.request.contestants), printable(self.request.title, 60)
        return f"<Study '{title}': {contestants} contestants, {len(self.rows)} runs, {printable(result, 60)}>"

    def _repr_html_(self) -> str | None:
        if not has("jinja2"):
            return None
        from dreamopt.study.report.page import notebook_html
        from dreamopt.study.report.svg import inline_svg

        svg = ""
        if has("matplotlib") and "differences" in self._plots:
            plot = self._plots["differences"]
            svg = inline_svg(self.plot("differences"), f"study-{self.request.key[:8]}-differences", plot.title, plot.caption)
        return notebook_html(self.request, self.analysis, svg)
