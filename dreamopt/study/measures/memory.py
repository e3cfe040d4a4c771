"""How much memory the run took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.parts.checks import NOT_NEGATIVE
from dreamopt.study.measure import Better, Finished, Measure


@dataclass(frozen=True)
class Memory(Measure):
    r"""The most memory that the run had at a time, in MiB.

    On a GPU it is what torch had there, weights included; on a CPU what the process took beyond what it had before. Where several images
    were made at once it is all of them together; their number is in the row.

    Examples
    --------
    >>> import numpy as np
    >>> from dreamopt import load_net
    >>> from dreamopt.study.finished import as_finished
    >>> Memory()(as_finished(load_net(), "conv2:3", np.zeros((48, 48, 3), np.uint8), facts={"memory": 3 * 2**20}))
    3.0
    """

    examples: ClassVar = ("memory",)
    unit: ClassVar = "MiB"
    better: ClassVar[Better] = "lower"
    range: ClassVar = NOT_NEGATIVE

    def measure(self, finished: Finished) -> float | None:
        """Return the MiB; None where they were not counted."""
        count = finished.facts.get("memory")
        return None if count is None else count / 2**20
