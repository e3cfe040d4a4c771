"""How alike neighbouring images of a batch are: for smooth rows of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective import POSITIVE, Activations, CoupledObjective, Fields

_REACH = 4


@dataclass(frozen=True)
class Alignment(CoupledObjective):
    r"""Minus the distance between neighbouring images of a batch, so that a row of them changes smoothly.

    .. math:: \sum_n s_n = -\sum_{d=1}^{4} \frac{1}{r^d} \sum_n \operatorname{mean}\bigl((a_n - a_{n+d})^2\bigr)

    of which each of the two items of a pair gets one half. An item alone has none: render the row in one batch.

    Parameters
    ----------
    layer : str or sequence of str
        What is compared; the values of several layers are added.
    ratio : float
        r, above 0: how much less than the last each further neighbour counts.

    References
    ----------
    .. [1] Mordvintsev et al., "Differentiable Image Parameterizations", 2018, on aligned interpolation.

    Examples
    --------
    >>> from dreamopt.objectives import Interpolate
    >>> print(Interpolate("conv4", 7, 9, 5) + 0.1 * Alignment("conv2"))
    Interpolate("conv4", 7, 9, 5) + 0.1*Alignment("conv2")
    """

    examples: ClassVar = (
        "alignment({layer})",
        "alignment(({layer2}, {classifier}), ratio=3)",
    )

    layer: str | tuple[str, ...]
    ratio: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, ObjectiveError).number("ratio", POSITIVE)

    def value(self, activations: Activations) -> Tensor:
        """Return each item's half of what it differs from its neighbours."""
        return torch.stack([self._differs(activations[layer]) for layer in self.layers]).sum(0)

    def _differs(self, a: Tensor) -> Tensor:
        n = a.shape[0]
        total = a.new_zeros(n)
        for d in range(1, min(_REACH, n - 1) + 1):
            half = (a[:-d] - a[d:]).square().reshape(n - d, -1).mean(1) / (2 * self.ratio**d)
            rest = a.new_zeros(d)
            total = total - torch.cat((half, rest)) - torch.cat((rest, half))
        return total
