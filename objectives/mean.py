"""The mean of a whole layer, or of its size."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective import Activations, Fields, Layers, Objective


@dataclass(frozen=True)
class Mean(Objective):
    r"""The mean of all that a layer wrote, or of its absolute value; every channel pulls alike, however strong it is.

    .. math:: s_n = \frac{1}{C P} \sum_{c, p} a_{n, c, p} \qquad \text{or} \qquad s_n = \frac{1}{C P} \sum_{c, p} \lvert a_{n, c, p} \rvert

    Parameters
    ----------
    layer : str
        What that layer wrote, of any shape.
    absolute : bool
        Whether it is the mean of the absolute value; after a ReLU that is the same.

    References
    ----------
    .. [1] ProGamerGov, neural-dream, 2020: loss_mode mean and abs_mean. Its mse is ``Energy(layer, "mean")``, its norm, l2 and abs_l2 are
       ``Energy(layer, "norm")``.

    Examples
    --------
    >>> print(Mean("conv4") + 2 * Mean("conv3", absolute=True))
    Mean("conv4") + 2*Mean("conv3", absolute=True)
    """

    examples: ClassVar = ("mean({layer})", "mean({layer2}, True)", "mean({classifier})")

    layer: str
    absolute: bool = False

    def __post_init__(self) -> None:
        Fields(self, ObjectiveError).text("layer").flag("absolute")

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    @property
    def additive(self) -> Literal["mean"]:
        """A mean over places."""
        return "mean"

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Mean:
        """Check the layer; TargetError for an unknown one."""
        return dataclasses.replace(self, layer=network.resolve(self.layer))

    def value(self, activations: Activations) -> Tensor:
        """Return each item's mean."""
        a = activations[self.layer]
        return (a.abs() if self.absolute else a).reshape(a.shape[0], -1).mean(1)
