"""What the analysis must know of a measure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import DreamoptError

OBJECTIVE = "the objective's"
"""The unit of measures on the objective's own scale, which is another one for each unit of a net."""


@dataclass(frozen=True)
class MeasureFacts:
    """What the analysis must know of a measure.

    Parameters
    ----------
    unit : str
        Of its numbers; `OBJECTIVE`: brought to the common scale.
    better : {"higher", "lower", "neither"}
        Which of two numbers is the better one.
    compare : callable, optional
        Of a measure that compares the images of a unit: from their vectors to the number.
    known : bool
        Whether the measure is installed here; if not, higher is taken to be better.
    """

    unit: str = "1"
    better: str = "higher"
    compare: Callable[[Sequence[NDArray[np.float64]]], float] | None = None
    known: bool = True

    @property
    def sign(self) -> int:
        """-1 where lower is better, so that the product is better when it is larger."""
        return -1 if self.better == "lower" else 1


def facts_of(names: Iterable[str]) -> dict[str, MeasureFacts]:
    """Return what there is to know of measures, by the names that rows have.

    Examples
    --------
    >>> facts = facts_of(["held_out", "total_variation"])
    >>> facts["held_out"].unit, facts["total_variation"].better
    ("the objective's", 'lower')
    """
    from dreamopt.study.measure import SeedsMeasure  # torch is needed to know measures, and not to analyse rows whose facts are given
    from dreamopt.study.measures_registry import parse_measure

    facts = {}
    for name in names:
        try:
            measure = parse_measure(name)
        except DreamoptError:  # rows may come from a machine that has other plugins
            facts[name] = MeasureFacts(known=False)
        else:
            facts[name] = MeasureFacts(measure.unit, measure.better, measure.compare if isinstance(measure, SeedsMeasure) else None)
    return facts
