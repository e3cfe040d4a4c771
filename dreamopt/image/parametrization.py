"""The contract of a parametrization: which numbers are searched, and the image that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from dreamopt.streams import Stream

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Canvas:
    """The space in which images live, as a parametrization sees it.

    Parameters
    ----------
    shape : tuple of int
        One item: (C, H, W), or (K,) where the net takes a vector.
    low, high : Tensor or None
        What stands for black and white, broadcastable to ``shape``; None where nothing bounds the input.
    grey_level : float
        Length of one grey level (of 255) in this space; 1 for a vector.
    like : Tensor
        Any tensor of the net's dtype and device.
    """

    shape: Shape
    low: Tensor | None
    high: Tensor | None
    grey_level: float
    like: Tensor


class Parametrization:
    """Numbers from which images are made; subclasses are frozen dataclasses of settings, the numbers stay outside."""

    def shape(self, canvas: Canvas) -> Shape:
        """Return the shape of one item's parameters."""
        raise AssertionError(f"{type(self).__name__} does not say the shape of its parameters")

    def unit(self, canvas: Canvas) -> float:
        """Return how long, in parameters, a step of one grey level is: the unit of every optimizer's step."""
        return 1.0

    def bounds(self, canvas: Canvas) -> tuple[Tensor | None, Tensor | None]:
        """Return the parameters' lower and upper bound, broadcastable to `shape`; None for no bound."""
        return None, None

    def start(self, canvas: Canvas, streams: Sequence[Stream]) -> Tensor:
        """Return the parameters to start from, (N, ...); item i draws from ``streams[i]`` alone."""
        raise AssertionError(f"{type(self).__name__} does not say where it starts")

    def image(self, params: Tensor, canvas: Canvas) -> Tensor:
        """Return the images (N, C, H, W) of parameters (N, ...), differentiable; item i depends on item i alone."""
        raise AssertionError(f"{type(self).__name__} does not say what image it makes")

    def params(self, image: Tensor, canvas: Canvas) -> Tensor:
        """Return parameters whose image comes nearest to ``image``: the way back, for given starts and projections."""
        raise AssertionError(f"{type(self).__name__} does not say how an image becomes parameters")
