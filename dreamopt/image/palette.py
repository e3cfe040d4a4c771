"""From numbers without bounds to colours between black and white, and back: what most parametrizations end with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamopt.errors import ImageError, UsageError
from dreamopt.image.colour import Colour, checked_colour, paint
from dreamopt.parts.image_space import Canvas

# Rows are red, green, blue; columns the directions in which the colours of photographs vary, longest first.
_HOUSE = ((0.265, 0.09, 0.025), (0.27, 0.0, -0.05), (0.265, -0.09, 0.025))
_LUCID = ((0.26, 0.09, 0.02), (0.27, 0.0, -0.05), (0.27, -0.09, 0.03))
_XPLIQUE = (
    (0.56282854, 0.19482528, 0.04329450),
    (0.58447580, 0.0, -0.10823626),
    (0.58447580, -0.19482528, 0.06494176),
)
MARGIN = 1e-3
"""Of the range: how near to black and white a given image may come, where the sigmoid has no inverse."""


@dataclass(frozen=True)
class Palette:
    r"""The last step from numbers without bounds to an image.

    .. math:: x = b + (w - b)\,\operatorname{sigmoid}(t_0 + M t), \qquad x = b + (w - b)\,\operatorname{clip}(c_0 + M t, 0, 1)

    with and without sigmoid.

    Parameters
    ----------
    decorrelate : bool or str
        M, for canvases of three channels: True is a matrix that is the same for BGR and RGB, "lucid" is Lucid's, divided by
        the length of its longest column, "xplique" is Xplique's and Horama's, False is none.
    centre : Colour
        What t = 0 looks like, :math:`c_0 = \operatorname{sigmoid}(t_0)`: "mean" is the net's mean colour (0 of the input space, or
        grey where that lies outside), "grey" is halfway, and numbers are grey levels, one or (red, green, blue).
    sigmoid : bool
        Whether values are drawn in smoothly, or cut.
    values : (float, float), optional
        What stands for b and w, in the net's input space; black and white by default.
    """

    decorrelate: bool | str = True
    centre: Colour = "mean"
    sigmoid: bool = True
    values: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.decorrelate, bool) and self.decorrelate not in ("lucid", "xplique"):
            raise UsageError(f"decorrelate must be True, False, 'lucid' or 'xplique', not {self.decorrelate!r}")
        object.__setattr__(self, "centre", checked_colour(self.centre))
        if self.values is not None and not (len(self.values) == 2 and self.values[0] < self.values[1]):
            raise UsageError(f"values must be the lowest and the highest value, not {self.values}")

    @property
    def unit(self) -> float:
        """How far t must move for a value to move by a 255th of its range, about: the sigmoid's slope is 1/4."""
        return (4.0 if self.sigmoid else 1.0) / 255.0

    def paint(self, plane: Tensor, canvas: Canvas) -> Tensor:
        """Return the images of t, both (N, C, H, W)."""
        low, high = self.ends(canvas)
        mixed = mixed_colours(plane, mixing(self.decorrelate, canvas))
        middle = self._middle(canvas)
        part = torch.sigmoid(mixed + torch.logit(middle, eps=MARGIN)) if self.sigmoid else (mixed + middle).clamp(0, 1)
        return torch.lerp(low, high, part)  # exact at both ends, as a sum is not

    def plane(self, image: Tensor, canvas: Canvas) -> Tensor:
        """Return t of images; exact but for values at black and white, which are drawn in by a thousandth under a sigmoid."""
        low, high = self.ends(canvas)
        part, middle = (image - low) / (high - low), self._middle(canvas)
        plane = torch.logit(part, eps=MARGIN) - torch.logit(middle, eps=MARGIN) if self.sigmoid else part - middle
        mix = mixing(self.decorrelate, canvas)
        return plane if mix is None else mixed_colours(plane, torch.linalg.inv(mix))

    def ends(self, canvas: Canvas) -> tuple[Tensor, Tensor]:
        """Return what stands for black and white."""
        assert canvas.low is not None
        assert canvas.high is not None
        if self.values is None:
            return canvas.low, canvas.high
        return canvas.low.new_full((1, 1, 1), self.values[0]), canvas.high.new_full((1, 1, 1), self.values[1])

    def _middle(self, canvas: Canvas) -> Tensor:
        low, high = self.ends(canvas)
        if self.centre == "mean":
            return torch.where((low < 0) & (high > 0), -low / (high - low), 0.5)
        assert canvas.low is not None
        assert canvas.high is not None
        colour = paint(self.centre, canvas.low.new_empty(1, *canvas.shape), canvas)
        return (colour - canvas.low) / (canvas.high - canvas.low)


def picture_canvas(canvas: Canvas, who: str) -> tuple[int, int, int]:
    """Return (C, H, W) of a canvas that holds pictures, and refuse a vector's."""
    if len(canvas.shape) != 3 or canvas.low is None or canvas.high is None:
        raise ImageError(f"{who} makes pictures, but the net's input is a vector of {canvas.shape}; use Pixels")
    channels, height, width = canvas.shape
    return channels, height, width


def in_order(values: Tensor, canvas: Canvas) -> Tensor:
    """Return rows given for red, green, blue in the canvas' channel order."""
    return torch.cat([values[:3].flip(0), values[3:]]) if canvas.order == "BGR" and len(values) >= 3 else values


def mixing(decorrelate: bool | str, canvas: Canvas) -> Tensor | None:
    """Return the matrix (3, 3) from directions to the canvas' channels; None where colours are not mixed."""
    if canvas.shape[0] != 3 or decorrelate is False:
        return None
    rows: Sequence[Sequence[float]] = {True: _HOUSE, "lucid": _LUCID, "xplique": _XPLIQUE}[decorrelate]
    mix = torch.tensor(rows, dtype=torch.float64)
    if decorrelate != "xplique":
        mix = mix / mix.norm(dim=0).max()
    return in_order(mix, canvas).to(dtype=canvas.like.dtype, device=canvas.like.device)


def mixed_colours(plane: Tensor, mix: Tensor | None) -> Tensor:
    """Return channels (N, C, H, W) mixed by a matrix (C, C)."""
    return plane if mix is None else torch.einsum("oc,nchw->nohw", mix, plane)
