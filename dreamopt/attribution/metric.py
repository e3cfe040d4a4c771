"""The contract of a metric: a number that says how well a map explains a score."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dreamopt.attribution.subject import Subject
from dreamopt.errors import UsageError
from dreamopt.parts.calls import check_string, parse_part
from dreamopt.parts.checks import ANY, Range
from dreamopt.parts.measured import measured
from dreamopt.parts.part import Part, origin
from dreamopt.parts.registry import Registry, name_string

Better = Literal["higher", "lower"]


class AttributionMetric(Part):
    """A number of one image's map; a subclass is a frozen dataclass, and its docstring the definition that the documents print.

    Attributes
    ----------
    unit : str
        Of the number: "1", "scores".
    better : {"higher", "lower"}
        Which of two numbers is the better one.
    range : Range
        Where the number lies.
    """

    unit: ClassVar[str] = "1"
    better: ClassVar[Better] = "higher"
    range: ClassVar[Range] = ANY

    def measure(self, subject: Subject, heat_map: NDArray[np.float64]) -> float | None:
        """Return the number; None where the metric does not apply, as without a mask, or where the score has nothing to lose.

        Parameters
        ----------
        subject : Subject
            The image and its score; what it remembers is shared by all maps of the image.
        heat_map : ndarray, (H, W), float64
            A value for each place; larger speaks more for the score. Finite.
        """
        raise AssertionError(f"{type(self).__name__} does not say how it measures")

    def evaluations(self) -> int:
        """Return about how many images it passes through the net for each map, for progress."""
        return 0

    def __call__(self, subject: Subject, heat_map: NDArray[np.float64]) -> float | None:
        """Return `measure`, checked to be a finite number or None.

        Raises
        ------
        UsageError
            For anything else, naming the metric's file.
        """
        return measured(lambda: self.measure(subject, heat_map), f"metric {self}", origin(self))

    def __str__(self) -> str:
        """Return the name in strings, with the parameters that are not at their default: srg, srg(patch=16)."""
        return name_string(self)


metrics: Registry[AttributionMetric] = Registry(
    "attribution metric",
    "dreamopt.attribution.metrics",
    AttributionMetric,
    UsageError,
    {AttributionMetric: {"measure": ("self", "subject", "heat_map")}},
    group="dreamopt.attribution_metrics",
)
"""All metrics by name: those of ``dreamopt/attribution/metrics/``, and those of other packages' entry points."""


def parse_metric(metric: str | AttributionMetric) -> AttributionMetric:
    """Return the metric that a string names: ``NAME`` or ``NAME(PARAMETERS)``; printing it gives the string again.

    Raises
    ------
    UsageError
        For an unknown name, with the known ones, or parameters that do not fit.

    Examples
    --------
    >>> print(parse_metric("srg"), parse_metric("srg(patch=16)"))
    srg srg(patch=16)
    """
    if isinstance(metric, AttributionMetric):
        return metric
    return parse_part(check_string(metric, "the attribution metric", UsageError), metrics)
