"""How many evaluations the run spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.parts.checks import NOT_NEGATIVE
from dreamopt.study.measure import Better, Finished, Measure


@dataclass(frozen=True)
class Evaluations(Measure):
    r"""The views that the net saw, forward and backward.

    A step with four views makes four, and so does a line search that tries four times. It is the same on every machine. A run that
    stopped by itself has spent less than its budget.

    References
    ----------
    .. [1] Hansen et al., "COCO: Performance Assessment", 2016, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from dreamopt import load_net
    >>> from dreamopt.study.finished import as_finished
    >>> Evaluations()(as_finished(load_net(), "conv2:3", np.zeros((48, 48, 3), np.uint8), facts={"evaluations": 512}))
    512.0
    """

    examples: ClassVar = ("evaluations",)
    unit: ClassVar = "evaluations"
    better: ClassVar[Better] = "lower"
    range: ClassVar = NOT_NEGATIVE

    def measure(self, finished: Finished) -> float | None:
        """Return the number; None where it was not counted."""
        return finished.facts.get("evaluations")
