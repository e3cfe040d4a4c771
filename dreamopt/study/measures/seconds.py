"""How long the run took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.parts.checks import NOT_NEGATIVE
from dreamopt.study.measure import Better, Finished, Measure


@dataclass(frozen=True)
class Seconds(Measure):
    r"""The seconds of the run, without those in which something was measured or saved.

    Reading the net and one run before the first, which warms up, are not in it. It is that of the machine at hand, at as many images at
    once and as many processes as its row says: evaluations can be compared between machines.

    References
    ----------
    .. [1] Hansen et al., "COCO: Performance Assessment", 2016, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from dreamopt import load_net
    >>> from dreamopt.study.finished import as_finished
    >>> Seconds()(as_finished(load_net(), "conv2:3", np.zeros((48, 48, 3), np.uint8), facts={"seconds": 12.5}))
    12.5
    """

    examples: ClassVar = ("seconds",)
    unit: ClassVar = "seconds"
    better: ClassVar[Better] = "lower"
    range: ClassVar = NOT_NEGATIVE

    def measure(self, finished: Finished) -> float | None:
        """Return the seconds; None where they were not counted."""
        return finished.facts.get("seconds")
