"""All plots of a report by name, drawn when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamopt.errors import UsageError, in_brackets, suggest
from dreamopt.study.analysis import Analysis
from dreamopt.study.report.measure_plots import measure_plots
from dreamopt.study.report.plot import Plot
from dreamopt.study.report.progress_plots import progress_plots
from dreamopt.study.report.result_plots import result_plots
from dreamopt.study.report.style import plotting
from dreamopt.study.report.tuning_plots import tuning_plots
from dreamopt.study.run import Row


def plots_of(analysis: Analysis, rows: Sequence[Row]) -> dict[str, Plot]:
    """Return the plots that a study has, by name, in the report's order."""
    plots = [*result_plots(analysis), *progress_plots(analysis), *tuning_plots(analysis), *measure_plots(analysis, rows)]
    return {plot.name: plot for plot in plots}


def draw(plots: Mapping[str, Plot], name: str) -> Any:
    """Return the figure of a plot.

    Raises
    ------
    UsageError
        For a name that the study has no plot of, and where matplotlib is not installed.
    """
    if name not in plots:
        hint = in_brackets(suggest(name, plots, 1))
        raise UsageError(f"the study has no plot '{name}'{hint}; it has {', '.join(plots)}")
    with plotting():
        return plots[name].draw()
