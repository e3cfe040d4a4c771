"""The scale of each scored unit along a run, for the traces' normalized values."""

from __future__ import annotations

from collections.abc import Sequence

from dreamopt.study.analysis.scoping import objective_scales
from dreamopt.study.analysis.table import sort_rows
from dreamopt.study.report.exports import Scales
from dreamopt.study.request import Request
from dreamopt.study.run import Row


def scales_of(request: Request, rows: Sequence[Row]) -> Scales:
    """Return by net and unit the objective of the start image, and what is 1 there: the end of the reference's traces."""
    table = sort_rows(request, rows).table
    scales = objective_scales(table)
    return {unit: (scale.start, scale.start + scale.gain) for unit, scale in zip(table.units, scales, strict=True)}
