"""The space in which images live: what parametrizations, transforms and regularizers may know of the net's input."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ImageSpace:
    """One item's input space.

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
    order : str
        "BGR" or "RGB" where a net sees colours, else "": the order of the first three channels.
    net_size : (int, int), optional
        Height and width in the net's file, where it takes images.
    inverted : bool
        Whether white is the lower end, where a net's scale is negative.
    """

    shape: Shape
    low: Tensor | None
    high: Tensor | None
    grey_level: float
    like: Tensor
    order: str = ""
    net_size: tuple[int, int] | None = None
    inverted: bool = False

    @property
    def black(self) -> Tensor | None:
        """What stands for black."""
        return self.high if self.inverted else self.low

    @property
    def white(self) -> Tensor | None:
        """What stands for white."""
        return self.low if self.inverted else self.high

    @property
    def grey_step(self) -> float:
        """The way of one grey level from black towards white, with its sign."""
        return -self.grey_level if self.inverted else self.grey_level
