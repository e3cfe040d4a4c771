"""The probability of the class in its own net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.errors import ShapeError
from dreamopt.parts.checks import FRACTION
from dreamopt.study.classes import class_of
from dreamopt.study.measure import Finished, Measure
from dreamopt.study.scores import activations_of_image


@dataclass(frozen=True)
class Probability(Measure):
    r"""The probability of the image's class in the net that it was made for.

    .. math:: p_c = \frac{e^{z_c}}{\sum_k e^{z_k}}

    of the logits z; where the net itself ends in a Softmax or a Sigmoid after the unit's layer, what that says, and of an output over
    space its mean. 1 is easily reached without being readable; `Transfer` asks nets that the image was not made for.

    None for units that are no classes. A unit is one if a Softmax or Sigmoid at the net's end, or a loss of one, follows its layer with
    nothing between that mixes units; or if its layer is an output with as many units as there are labels, or a flat one where no labels
    are known.

    References
    ----------
    .. [1] Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", 2014, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from dreamopt import load_net
    >>> from dreamopt.study.finished import as_finished
    >>> grey = np.full((96, 96, 3), 119, np.uint8)
    >>> round(sum(Probability()(as_finished(load_net(), f"scores:{number}", grey)) for number in range(32)), 6)
    1.0
    >>> print(Probability()(as_finished(load_net(), "conv2:3", grey)))
    None
    """

    examples: ClassVar = ("probability",)
    range: ClassVar = FRACTION

    def measure(self, finished: Finished) -> float | None:
        """Return the probability."""
        unit = class_of(finished.network, finished.objective)
        if unit is None:
            return None
        try:
            seen = activations_of_image(finished, (unit.output.layer,))[unit.output.layer]
        except ShapeError:  # the unit's layer takes images of this size, and the classifier after it does not
            return None
        return min(float(unit.output.probabilities(seen)[0, unit.number]), 1.0)
