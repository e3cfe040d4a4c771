"""A channel (a filter): its mean over space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from dreamopt.objective import Activations, Unit, UnitObjective, pick, target_string


@dataclass(frozen=True)
class Channel(UnitObjective):
    r"""The mean of one channel over space; ``"conv4:7"`` as a string.

    .. math:: s_n = \frac{1}{H W} \sum_{y, x} a_{n, u_n, y, x}

    On a flat layer (N, K) it is the unit itself, so that ``"fc8:7"`` is class 7's score.

    Parameters
    ----------
    layer : str
        What that layer wrote: where a ReLU works in place, ``conv4`` is before it and ``relu4`` after it. A blob that
        no layer is named after gives its final value.
    unit : int or sequence of int
        The channel, 0 to C - 1; a sequence gives item i of the batch its own ``unit[i]``.

    References
    ----------
    .. [1] Erhan, Bengio, Courville, Vincent, "Visualizing Higher-Layer Features of a Deep Network", 2009, section 3.1.

    Examples
    --------
    >>> print(Channel("conv4", 7) - 0.5 * Channel("conv3", (1, 2)))
    conv4:7 - 0.5*conv3:1,2
    """

    examples: ClassVar = (
        "channel({layer}, 3)",
        "channel({layer}, (3, 0, 4))",
        "channel({classifier}, 2)",
        "channel({classifier}, (2, 6, 2))",
    )

    layer: str
    unit: Unit

    @property
    def additive(self) -> Literal["mean"]:
        """A mean over places."""
        return "mean"

    def value(self, activations: Activations) -> Tensor:
        """Return each item's mean over the channel."""
        a = activations[self.layer]
        unit = self.checked_unit(tuple(a.shape[1:]))
        return pick(a, unit).reshape(a.shape[0], -1).mean(1)

    def __str__(self) -> str:
        return target_string(self.layer, self.unit)
