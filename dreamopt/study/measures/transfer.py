"""The probability of the class in other nets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dreamopt.parts.checks import FRACTION
from dreamopt.study.measure import Finished, Measure
from dreamopt.study.others import answers_of


@dataclass(frozen=True)
class Transfer(Measure):
    r"""The mean probability of the image's class in the other nets of the study, those of `--also`.

    .. math:: \frac{1}{M} \sum_{m=1}^{M} p^{(m)}_{c_m}(x)

    Each net is shown the image as it was written, scaled to cover the net's own size and cut to its middle, in the net's own preprocessing.
    Its class c_m is found by the label: equal WordNet numbers, names, or one synonym in common. Of a net whose outputs are logits a softmax
    is taken, of one that ends in a Softmax not a second one. Nets without the class are left out of the mean. What other nets recognize is
    not made for one net's weaknesses, and is nearest to what people can read.

    None for units that are no classes with a name, for inputs of other than one or three channels, and where no other net has the class.

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
    >>> abs(Transfer()(finished) - network.activations_of(grey, ["prob"])["prob"].max().item()) < 1e-6
    True
    """

    examples: ClassVar = ("transfer",)
    range: ClassVar = FRACTION

    def measure(self, finished: Finished) -> float | None:
        """Return the mean probability."""
        answers = answers_of(finished)
        return min(float(np.mean([probabilities[number] for probabilities, number in answers])), 1.0) if answers else None
