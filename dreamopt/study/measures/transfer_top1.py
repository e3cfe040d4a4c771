"""Whether other nets take the image for its class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dreamopt.parts.checks import FRACTION
from dreamopt.study.measure import Finished, Measure
from dreamopt.study.others import answers_of


@dataclass(frozen=True)
class TransferTop1(Measure):
    r"""The share of the other nets of the study, those of `--also`, whose most probable class is the image's.

    .. math:: \frac{1}{M} \sum_{m=1}^{M} [\, p^{(m)}_{c_m}(x) > \max_{k \ne c_m} p^{(m)}_k(x) \,]

    The nets are shown the image, and their classes found, as for `Transfer`; None as there.

    References
    ----------
    .. [1] Szegedy et al., "Intriguing properties of neural networks", 2014, section 4.2, on images across nets.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> from dreamopt.study.finished import as_finished
    >>> grey = np.full((96, 96, 3), 119, np.uint8)
    >>> network = load_net()
    >>> number = int(network.activations_of(grey, ["prob"])["prob"][0].argmax())
    >>> finished = as_finished(network, f"scores:{number}", grey, others={"itself": network})
    >>> TransferTop1()(finished)
    1.0
    """

    examples: ClassVar = ("transfer_top1",)
    range: ClassVar = FRACTION

    def measure(self, finished: Finished) -> float | None:
        """Return the share."""
        answers = answers_of(finished)
        return float(np.mean([_is_highest(probabilities, number) for probabilities, number in answers])) if answers else None


def _is_highest(probabilities: NDArray[np.float64], number: int) -> bool:
    return bool((probabilities >= probabilities[number]).sum() == 1)
