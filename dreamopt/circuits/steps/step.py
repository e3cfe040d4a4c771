"""The contract: one layer of the linearized net, gone through from its top to its bottoms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from dreamopt.circuits.kernels import Kernels, Pair
from dreamopt.engine.graph import constant
from dreamopt.engine.layer import Layer, Shape


@dataclass(frozen=True, eq=False)
class LinearLayer:
    """A layer, with what its linear form is made of.

    Parameters
    ----------
    layer : Layer
        Of the engine.
    weights : sequence of Tensor
        In Caffe's order.
    bottoms, tops : sequence of Shape
        One item's shapes at the size in the net's file: (C, H, W) or (K,).
    """

    layer: Layer
    weights: Sequence[Tensor]
    bottoms: Sequence[Shape]
    tops: Sequence[Shape]

    def size(self, bottom: int = 0) -> Pair:
        """Return the height and width of a bottom's map; (1, 1) for a vector."""
        return size_of(self.bottoms[bottom])


class Step(ABC):
    """How derivatives go from the top of one layer of the linearized net to its bottoms."""

    weighted: bool = False
    """Whether the layer mixes channels by weights of its own."""

    def __init__(self, linear: LinearLayer) -> None:
        self.linear = linear

    @property
    def bottoms(self) -> Sequence[int]:
        """The bottoms that count."""
        return [i for i in range(len(self.linear.bottoms)) if i not in constant(self.linear.layer)]

    @abstractmethod
    def kernels(self, above: Kernels, top: int, place: Pair) -> dict[int, Kernels]:
        """Return the kernels with respect to each bottom that counts.

        Parameters
        ----------
        above : Kernels
            With respect to a top.
        top : int
            Which one.
        place : (int, int)
            Where the units stand whose kernels they are, for layers that do not treat all places alike.
        """

    @abstractmethod
    def uniform(self, above: Tensor, top: int) -> dict[int, Tensor]:
        """Return the derivatives with respect to bottoms that rise alike at all places, (n, C), from those to such a top."""


def size_of(shape: Shape) -> Pair:
    """Return the height and width of an item's map; (1, 1) for a vector.

    >>> size_of((3, 5, 7)), size_of((10,))
    ((5, 7), (1, 1))
    """
    return (shape[1], shape[2]) if len(shape) == 3 else (1, 1)
