"""Expanded weights: the kernels from units of one layer to another below it, through all layers between."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamopt.circuits.kernels import Kernels, Pair
from dreamopt.circuits.linear_net import LinearNet
from dreamopt.circuits.steps.step import size_of
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.parts.brief import brief, counted


@dataclass(frozen=True, eq=False)
class ExpandedWeights:
    """The weights of units with respect to another layer, as if that were the one they read.

    Parameters
    ----------
    layer, below : str
        The units' layer, and the one below it.
    units : tuple of int
        The units, rising.
    kernels : Tensor
        (n, C, h, w): one for each unit and channel of the layer below; (n, K, 1, 1) for vectors. h and w are the receptive field of a
        unit's place, holes of dilation included.
    offset : (int, int)
        Row and column of the layer below that the first tap stands for, where the units stand at `place`; below 0 in padding.
    place : (int, int)
        Row and column of the units' map: its middle.
    """

    layer: str
    below: str
    units: tuple[int, ...]
    kernels: Tensor
    offset: Pair
    place: Pair

    def __repr__(self) -> str:
        """Return one line: the layers, how many units, the kernels' shape."""
        return brief(
            "ExpandedWeights", f"{self.layer} over {self.below}", counted(len(self.units), "unit"), f"kernels {tuple(self.kernels.shape)}"
        )

    @property
    def strengths(self) -> Tensor:
        """The L2 norm of each kernel, (n, C), with the sign of its sum."""
        return strengths_of(self.kernels)


def strengths_of(kernels: Tensor) -> Tensor:
    """Return the L2 norms of kernels (..., h, w), with the signs of their sums; of a sum of 0, plus."""
    norms, sums = kernels.flatten(-2).norm(dim=-1), kernels.flatten(-2).sum(-1)
    return torch.where(sums < 0, -norms, norms)


def expanded_weights(
    network: Network | LinearNet, layer: str, below: str, units: Iterable[int] | None = None, *, dtype: torch.dtype = torch.float32
) -> ExpandedWeights:
    """Return the expanded weights of a layer's units with respect to a layer below.

    They are the derivatives of the linearized net: nonlinearities and dropout are left out, the average over each window stands for its
    largest value, the mean of Eltwise's bottoms for their largest, gates (Scale and Axpy with a bottom as factor) are open, and all else
    is derived at zero. Over one convolution they are its weights as they stand in the file.

    Parameters
    ----------
    network : Network
        A net of the built-in engine; or what `LinearNet` made of it, which remembers weights.
    layer : str
        The layer whose units they are.
    below : str
        A layer or blob below it, or the net's input.
    units : iterable of int, optional
        Which units; all by default. Kernels over many layers take memory: a few at a time.
    dtype : torch.dtype
        Type of the numbers, where a network is given.

    Raises
    ------
    UsageError
        For a layer that is not below the other, or only by ways without a linear form; a unit that there is not; a backend that does
        not give a net's weights.

    References
    ----------
    Voss et al., Visualizing Weights, Distill 2021, section on expanded weights.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> network = load_net()
    >>> found = expanded_weights(network, "conv2", "conv1", units=[3, 5])
    >>> found.kernels.shape, found.strengths.shape, found.offset
    (torch.Size([2, 24, 7, 7]), torch.Size([2, 24]), (20, 20))
    """
    linear = network if isinstance(network, LinearNet) else LinearNet(network, dtype)
    value, chosen = linear.units(layer, units)
    source = linear.graph.value(linear.network.resolve(below))
    within = linear.above(source)
    found: Kernels | None = None
    if value[0] in within and value != source:
        found = linear.kernels(value, chosen, lambda here, passed: here == source, 0, within).get(source)
    place = linear.center(value)
    if found is None:
        why = f": {'; '.join(linear.refused.values())}" if linear.refused and value[0] in within else ""
        raise UsageError(f"layer '{layer}' has no weights over '{below}': that is not below it, or no linear way leads there{why}")
    values = found.values.new_zeros(len(chosen), *found.values.shape[1:])
    values[torch.searchsorted(chosen, found.units)] = found.values
    offset = found.offset
    if not found.placed:
        offset = (found.jump[0] * place[0] + offset[0], found.jump[1] * place[1] + offset[1])
    return ExpandedWeights(layer, below, tuple(chosen.tolist()), values, offset, place)


def whole_maps(weights: ExpandedWeights, linear: LinearNet) -> Tensor:
    """Return expanded weights as maps of the layer below at the size in the net's file, (n, C, H, W), cut at its borders."""
    size = size_of(linear.shape(linear.graph.value(weights.below)))
    chosen = torch.tensor(weights.units)
    return Kernels(chosen, weights.kernels, weights.offset, placed=True).cut(size).whole(size)
