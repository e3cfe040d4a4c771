"""Measures by name: those of ``dreamopt/study/measures/``, plain functions, and those of other packages.

A package of your own gives some by an entry point::

    [project.entry-points."dreamopt.measures"]
    sharpness = "mypackage.measures:sharpness"
"""

from __future__ import annotations

from collections.abc import Sequence

from dreamopt.errors import UsageError
from dreamopt.parts.calls import check_string, parse_part
from dreamopt.parts.registry import Registry
from dreamopt.study.function_measure import measure_of_function
from dreamopt.study.measure import Finished, Measure, SeedsMeasure

measures: Registry[Measure] = Registry(
    "measure",
    "dreamopt.study.measures",
    Measure,
    UsageError,
    {SeedsMeasure: {"features": ("self", "finished"), "compare": ("self", "vectors")}, Measure: {"measure": ("self", "finished")}},
    adapt=measure_of_function,
)
"""All measures by name."""


def parse_measure(text: str) -> Measure:
    """Return the measure that a string names: ``NAME`` or ``NAME(PARAMETERS)``; printing it gives the string again.

    Raises
    ------
    UsageError
        For an unknown name, with the known ones, or parameters that do not fit.

    Examples
    --------
    >>> print(parse_measure("held_out"), parse_measure("held_out(views=32)"))
    held_out held_out(views=32)
    """
    return parse_part(check_string(text, "the measure", UsageError), measures)


def take(names: Sequence[str], finished: Finished) -> tuple[dict[str, float | None], dict[str, tuple[float, ...]]]:
    """Return what measures say of a finished run.

    Parameters
    ----------
    names : sequence of str
        As `parse_measure` reads them.
    finished : Finished
        The run.

    Returns
    -------
    dict of str to float or None
        The numbers, by the names as given; None where a measure does not apply, and for those that compare the seeds of a unit.
    dict of str to tuple of float
        The vectors of these, by the names as given: `SeedsMeasure.compare` compares those of several runs.

    Raises
    ------
    UsageError
        For a name that is no measure's, and a measure that gives no finite number.
    """
    parts = {name: parse_measure(name) for name in names}
    numbers = {name: measure(finished) for name, measure in parts.items()}
    return numbers, {name: measure.vector(finished) for name, measure in parts.items() if isinstance(measure, SeedsMeasure)}
