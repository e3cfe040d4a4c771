"""The objective that the image reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.study.measure import Finished, Measure
from dreamopt.study.scores import values_of


@dataclass(frozen=True)
class Objective(Measure):
    r"""The objective of the image as it was written, untransformed, without penalties.

    .. math:: s(x)

    at the size at which the study measures, of the 8 bits that were written. It can be high by a pattern of pixels that a small shift
    destroys; `HeldOut` is not. None for an objective that compares images with each other.

    Its unit is that of the objective: the net's activations, on a scale of their own for every unit.

    References
    ----------
    .. [1] Erhan, Bengio, Courville, Vincent, "Visualizing Higher-Layer Features of a Deep Network", 2009, section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from dreamopt import load_net
    >>> from dreamopt.study.finished import as_finished
    >>> network, grey = load_net(), np.full((48, 48, 3), 128, np.uint8)
    >>> finished = as_finished(network, "conv2:3", grey)
    >>> seen = network.activations(network.from_rgb(grey)[None], ["conv2"])["conv2"]
    >>> abs(Objective()(finished) - seen[0, 3].mean().item()) < 1e-6
    True
    """

    examples: ClassVar = ("objective",)
    unit: ClassVar = "the objective's"

    def measure(self, finished: Finished) -> float | None:
        """Return the objective of the image."""
        values = values_of(finished.network, finished.objective, finished.image)
        return None if values is None else float(values[0])
