"""Writing a study's report into its folder."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from dreamopt.parts.atomic import atomic_write
from dreamopt.study.analysis import Analysis
from dreamopt.study.report.exports import Scales, ordered, write_exports
from dreamopt.study.report.page import pages
from dreamopt.study.report.plot import Plot
from dreamopt.study.report.plots import draw, plots_of
from dreamopt.study.report.presets import chosen_settings, winner_text
from dreamopt.study.report.study_file import study_files
from dreamopt.study.report.svg import inline_svg, write_png
from dreamopt.study.report.words import AGAIN
from dreamopt.study.request import Request
from dreamopt.study.run import Row

_OWN = {
    ".": re.compile(r"sheet-\d+\.html|winner\.toml|again\.toml"),
    "plots": re.compile(r"[a-z0-9_]+\.png"),
    "presets": re.compile(r".+\.toml"),
}
"""Files of a report, by folder, which an earlier one may have left, and this one does not have."""


def write_report(folder: str | Path, request: Request, analysis: Analysis, rows: Iterable[Row], scales: Scales | None = None) -> Path:
    """Write a study's report, its plots, its rows as tables and its presets into its folder.

    Each file is written whole or not at all, ``report.html`` last. The same rows give the same bytes, in whatever order they come.

    Parameters
    ----------
    folder : path
        The study's, with its images.
    request, analysis, rows
        Of the study.
    scales : mapping, optional
        By net and unit, the objective of the start image and the reference's, for the traces' normalized values.

    Returns
    -------
    Path
        Of ``report.html``.

    Raises
    ------
    UsageError
        Where matplotlib or jinja2 is not installed.
    """
    folder = Path(folder)
    inside = ordered(request, rows)
    plots = plots_of(analysis, inside)
    for name in ("plots", "presets"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    drawn = {name: _draw(folder, plots, name) for name in plots}
    chosen = chosen_settings(request, analysis, inside)
    files = write_exports(folder, inside, {} if scales is None else scales)
    written = {one.file: one.text for one in chosen}
    winner = winner_text(request, analysis, chosen)
    if winner is not None:
        written["winner.toml"] = winner
        files.insert(0, "winner.toml")
    study = study_files(request)
    if study:
        files.insert(0, AGAIN)
        (folder / "presets" / "before").mkdir(exist_ok=True)
    made = pages(folder, request, analysis, inside, plots, drawn, chosen, files, study)
    written |= study
    for name, text in (written | dict(made.sheets)).items():
        _write(folder / name, text)
    _remove_others(folder, {*written, *made.sheets, *(f"plots/{name}.png" for name in plots)})
    _write(folder / "report.html", made.report)
    return folder / "report.html"


def _draw(folder: Path, plots: Mapping[str, Plot], name: str) -> str:
    """Write a plot as PNG, and return it as SVG."""
    figure = draw(plots, name)
    write_png(figure, folder / "plots" / f"{name}.png")
    figure.set_layout_engine("none")  # what has its place keeps it
    plot = plots[name]
    return inline_svg(figure, f"plot-{name.replace('_', '-')}", plot.title, plot.caption)


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))


def _remove_others(folder: Path, files: set[str]) -> None:
    for name, pattern in _OWN.items():
        for path in (folder / name).iterdir():
            if pattern.fullmatch(path.name) and path.relative_to(folder).as_posix() not in files:
                with contextlib.suppress(OSError):
                    os.unlink(path)
