"""A plot of a report: what it is called, what it shows, how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dreamopt.study.analysis import Analysis, Scope
from dreamopt.study.report.drawing import MOST_POINTS
from dreamopt.study.report.style import REFERENCE


@dataclass(frozen=True)
class Plot:
    """A plot.

    Parameters
    ----------
    name : str
        Of its file, and of `Study.plot`.
    section : str
        Where in the report it stands.
    title : str
        A few words.
    caption : str
        How it is read, one or two sentences.
    draw : callable
        Returns a matplotlib figure, in the style of `dreamopt.study.report.style.plotting`.
    wide : bool
        Whether it takes the page's whole width.
    """

    name: str
    section: str
    title: str
    caption: str
    draw: Callable[[], Any]
    wide: bool = False


def place_of(analysis: Analysis, contestant: str) -> int:
    """Return the number of a contestant, which chooses its colour; the reference's is `REFERENCE`."""
    return analysis.contestants.index(contestant) if contestant in analysis.contestants else REFERENCE


def names_of(analysis: Analysis) -> list[str]:
    """Return all names: contestants from the highest interquartile mean on, then the reference."""
    return [*analysis.overall.ranking, *([] if analysis.reference in analysis.contestants else [analysis.reference])]


def scale_of(analysis: Analysis) -> str:
    """Return what the criterion's axis shows.

    On the common scale 0 is the start image, and 1 what the reference reaches on the unit.
    """
    if analysis.normalized:
        return f"{analysis.criterion} (0: start, 1: {analysis.reference})"
    return f"{analysis.criterion} / {analysis.unit}"


def points_words(scope: Scope, what: str) -> str:
    """Return what each of many small signs stands for."""
    return f"each {what} is a unit" if scope.units <= MOST_POINTS else f"each {what} is a unit, {MOST_POINTS} of {scope.units} are drawn"
