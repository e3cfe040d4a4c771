"""Whether the unit is the highest of its layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.parts.checks import FRACTION
from dreamopt.study.measure import Finished, Measure
from dreamopt.study.ranks import rank_of


@dataclass(frozen=True)
class Top1(Measure):
    r"""1 where the unit's value is above that of every other unit of its layer, else 0; of several images, the share.

    .. math:: [\, s_u(x) > \max_{k \ne u} s_k(x) \,]

    For a class it says that the net takes the image for that class. A channel is compared by its mean over space, a neuron with the others
    at its place. In a layer whose units are all equal (dead ReLUs) none is the highest. None for objectives that ask for no single unit, or
    for a low one.

    References
    ----------
    .. [1] Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", 2015, section 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from dreamopt import load_net
    >>> from dreamopt.study.finished import as_finished
    >>> grey = np.full((96, 96, 3), 119, np.uint8)
    >>> sum(Top1()(as_finished(load_net(), f"scores:{number}", grey)) for number in range(32))
    1.0
    """

    examples: ClassVar = ("top1",)
    range: ClassVar = FRACTION

    def measure(self, finished: Finished) -> float | None:
        """Return 1 or 0."""
        rank = rank_of(finished)
        return None if rank is None else float(rank == 1)
