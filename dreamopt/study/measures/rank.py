"""At which place the unit stands in its layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.parts.checks import COUNT
from dreamopt.study.measure import Better, Finished, Measure
from dreamopt.study.ranks import rank_of


@dataclass(frozen=True)
class Rank(Measure):
    r"""How many units of the layer have at least the unit's value, itself among them: 1 is the highest.

    .. math:: \#\{ k : s_k(x) \ge s_u(x) \}

    For channels, which seldom are the highest of their layer, it says more than `Top1`; the values are compared as there.

    References
    ----------
    .. [1] Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", 2015, section 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from dreamopt import load_net
    >>> from dreamopt.study.finished import as_finished
    >>> grey = np.full((96, 96, 3), 119, np.uint8)
    >>> sorted(Rank()(as_finished(load_net(), f"scores:{number}", grey)) for number in range(32)) == list(range(1, 33))
    True
    """

    examples: ClassVar = ("rank",)
    unit: ClassVar = "units"
    better: ClassVar[Better] = "lower"
    range: ClassVar = COUNT

    def measure(self, finished: Finished) -> float | None:
        """Return the rank."""
        return rank_of(finished)
