"""Units of a layer that read alike: by the angle between their weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamopt.circuits.linear_net import LinearNet
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.network.maps import Value
from dreamopt.parts.checks import check_whole

_ROWS = 256
"""Units that are compared with all others at a time."""


@dataclass(frozen=True)
class Neighbour:
    """A unit whose weights point nearly where another's do.

    Parameters
    ----------
    unit : int
        Its number, in the same layer.
    cosine : float
        Of the angle between the two units' weights, above 0 to 1.
    """

    unit: int
    cosine: float


def nearest_units(
    network: Network | LinearNet, layer: str, units: Iterable[int] | None = None, count: int = 10
) -> dict[int, list[Neighbour]]:
    """Return for units of a layer those of the same layer whose weights are most like their own, the nearest first.

    A unit's weights are those of the layers with weights that made it, over all that these read: of units that read other values, or
    other groups of channels, the cosine is 0, and they are no neighbours. Biases do not count.

    Parameters
    ----------
    network : Network
        A net of the built-in engine; or what `LinearNet` made of it, which remembers weights.
    layer : str
        The units' layer; or one that passes units on, such as a ReLU, pooling, Concat, or a sum.
    units : iterable of int, optional
        Which; all by default.
    count : int
        How many neighbours of each at the most.

    Raises
    ------
    UsageError
        For a layer that no layer with weights made, or a unit that there is not.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> nearest = nearest_units(load_net(), "conv1", [3], count=2)[3]
    >>> [0 < neighbour.cosine <= 1 and neighbour.unit != 3 for neighbour in nearest]
    [True, True]
    """
    linear = network if isinstance(network, LinearNet) else LinearNet(network)
    value, chosen = linear.units(layer, units)
    count = check_whole("count", count)
    vectors = directions(linear, value)
    found: dict[int, list[Neighbour]] = {}
    for first in range(0, len(chosen), _ROWS):
        part = chosen[first : first + _ROWS]
        cosines = vectors[part] @ vectors.t()
        cosines[torch.arange(len(part)), part] = 0
        ranked = cosines.sort(dim=1, descending=True, stable=True)
        for row, unit in enumerate(part.tolist()):
            pairs = zip(ranked.indices[row, :count].tolist(), ranked.values[row, :count].tolist(), strict=True)
            found[unit] = [Neighbour(other, min(cosine, 1.0)) for other, cosine in pairs if cosine > 0]
    return found


def directions(linear: LinearNet, value: Value) -> Tensor:
    """Return the weights of a value's units as vectors of length 1, (units, weights); zeros for units without any.

    Raises
    ------
    UsageError
        If no layer with weights made it, or all are 0.
    """
    count = linear.count(value)
    found = linear.kernels(value, torch.arange(count), lambda here, passed: passed >= 1, pooled=False)
    if not found:
        raise UsageError(f"layer '{linear.name(value)}' has no weights other than 0, nor has what it passes on")
    parts = []
    for kernels in found.values():
        rows = torch.zeros(count, kernels.values[0].numel(), dtype=kernels.values.dtype)
        rows[kernels.units] = kernels.values.flatten(1)
        parts.append(rows)
    vectors = torch.cat(parts, 1)
    norms = vectors.norm(dim=1, keepdim=True)
    return vectors / torch.where(norms > 0, norms, 1)
