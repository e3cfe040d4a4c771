"""The common scale: 0 is the start image, 1 what the reference reaches on the unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from dreamopt.statistics.numbers import Array, median

if TYPE_CHECKING:
    from dreamopt.study.run import Row

Top = Literal["reference", "best", "none"]


@dataclass(frozen=True)
class Scale:
    r"""The scale of a unit.

    .. math:: x = \frac{v - v_0}{r - v_0}

    Parameters
    ----------
    start : float
        :math:`v_0`, the objective of the start image: the median over the reference's runs.
    gain : float
        :math:`r - v_0`, above 0; r is the median over seeds of what the reference reached with the whole budget.
    top : {"reference", "best", "none"}
        Whose value 1 is: "best", where the reference is not above the start: the best known of anybody. "none", where nobody is above it:
        the largest distance from it.

    Examples
    --------
    >>> scale_of([2.0, 2.0], [7.0, 6.0, 30.0], [])
    Scale(start=2.0, gain=5.0, top='reference')
    >>> scale_of([2.0], [-np.inf], [4.0, 3.0]).normalize([3.0, -np.inf]).tolist()
    [0.5, -inf]
    """

    start: float = 0.0
    gain: float = 1.0
    top: Top = "reference"

    def normalize(self, values: ArrayLike) -> Array:
        """Return values on the common scale; infinities stay."""
        return np.asarray((np.asarray(values, np.float64) - self.start) / self.gain)


def scale_of(starts: Sequence[float], reference: Sequence[float], others: Sequence[float]) -> Scale:
    """Return the scale of a unit.

    Parameters
    ----------
    starts : sequence of float
        Objectives of start images.
    reference, others : sequence of float
        What the reference's runs, and other runs, reached; minus infinity for failed ones.
    """
    finite = [value for value in starts if np.isfinite(value)]
    start = float(median(finite)) if finite else 0.0
    if len(reference) and (gain := float(median(reference)) - start) > 0 and np.isfinite(gain):
        return Scale(start, gain)
    known = [value - start for value in (*reference, *others) if np.isfinite(value)]
    if known and max(known) > 0:
        return Scale(start, max(known), "best")
    return Scale(start, max((abs(value) for value in known), default=1.0) or 1.0, "none")


def starts_of(rows: Sequence[Row]) -> list[float]:
    """Return the objective of the start of each run that has one."""
    return [row.trace.values[0] for row in rows if row.trace.values and np.isfinite(row.trace.values[0])]
