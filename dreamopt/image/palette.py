"""From numbers without bounds to colours between black and white, and back: what most parametrizations end with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dreamopt.engine.native.colours import Range, can_colour, colour_gradient, coloured, range_of, uncoloured
from dreamopt.errors import ImageError
from dreamopt.image.colour import Colour, checked_colour, colour_tensor
from dreamopt.parts.checks import Fields
from dreamopt.parts.image_space import ImageSpace

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
        M, for image spaces of three channels: True is a matrix that is the same for BGR and RGB, "lucid" is Lucid's, divided by
        the length of its longest column, "xplique" is Xplique's and Horama's, False is none.
    centre : Colour
        What t = 0 looks like, :math:`c_0 = \operatorname{sigmoid}(t_0)`: "mean" is the net's mean colour (0 of the input space, or
        grey where that lies outside), "grey" is halfway, and numbers are grey levels, one or (red, green, blue).
    sigmoid : bool
        Whether values are drawn in smoothly, or cut.
    values : (float, float), optional
        What stands for b and w, in the net's input space; black and white by default.
    part : str
        The parametrization it belongs to, for errors.
    """

    decorrelate: bool | str = True
    centre: Colour = "mean"
    sigmoid: bool = True
    values: tuple[float, float] | None = None
    part: str = "Palette"

    def __post_init__(self) -> None:
        fields = Fields(self, name=self.part).choice("decorrelate", (True, False, "lucid", "xplique")).flag("sigmoid")
        fields.pair("values", optional=True, equal=False)
        object.__setattr__(self, "centre", checked_colour(self.centre))

    @property
    def unit(self) -> float:
        """How far t must move for a value to move by a 255th of its range, about: the sigmoid's slope is 1/4."""
        return (4.0 if self.sigmoid else 1.0) / 255.0

    def to_image(self, plane: Tensor, space: ImageSpace) -> Tensor:
        """Return the images of t, both (N, C, H, W)."""
        if self.sigmoid and can_colour(plane):
            return coloured(plane, mixing(self.decorrelate, space), _range(self, space), with_part=False)[0]
        return self.image_and_part(plane, space)[0]

    def image_and_part(self, plane: Tensor, space: ImageSpace) -> tuple[Tensor, Tensor]:
        """Return the images of t, and where their values lie on the way from b to w, 0 to 1; all (N, C, H, W)."""
        if self.sigmoid and can_colour(plane):
            image, part = coloured(plane, mixing(self.decorrelate, space), _range(self, space), with_part=True)
            assert part is not None
            return image, part
        low, high = self.ends(space)
        mixed = mixed_colours(plane, mixing(self.decorrelate, space))
        middle = _middle(self, space)
        part = torch.sigmoid(mixed + middle) if self.sigmoid else (mixed + middle).clamp(0, 1)
        return torch.lerp(low, high, part), part  # exact at both ends, as a sum is not

    def gradient(self, gradient: Tensor, part: Tensor, space: ImageSpace) -> Tensor:
        """Return the gradient at t of one at the image, under a sigmoid; ``part`` as from `image_and_part`."""
        if can_colour(gradient):
            return colour_gradient(gradient, part, mixing(self.decorrelate, space), _range(self, space))
        return self._gradient(gradient, part, space)

    def gradient_of_image(self, gradient: Tensor, image: Tensor, space: ImageSpace) -> Tensor:
        """Return the same where only the image is known, which then should not come too near to b and w."""
        if can_colour(gradient):
            return colour_gradient(gradient, image, mixing(self.decorrelate, space), _range(self, space), of_image=True)
        low, high = self.ends(space)
        return self._gradient(gradient, (image - low) / (high - low), space)

    def _gradient(self, gradient: Tensor, part: Tensor, space: ImageSpace) -> Tensor:
        low, high = self.ends(space)
        slope = torch.ops.aten.sigmoid_backward(gradient * (high - low), part)
        mix = mixing(self.decorrelate, space)
        return slope if mix is None else mixed_colours(slope, mix.T)

    def plane(self, image: Tensor, space: ImageSpace) -> Tensor:
        """Return t of images; exact but for values at black and white, which are drawn in by a thousandth under a sigmoid."""
        if self.sigmoid and can_colour(image):
            return uncoloured(image, mixing(self.decorrelate, space, inverse=True), _range(self, space), MARGIN)[0]
        low, high = self.ends(space)
        part = (image - low) / (high - low)
        plane = (torch.logit(part, eps=MARGIN) if self.sigmoid else part) - _middle(self, space)
        return mixed_colours(plane, mixing(self.decorrelate, space, inverse=True))

    def plane_and_image(self, image: Tensor, space: ImageSpace) -> tuple[Tensor, Tensor]:
        """Return `plane` under a sigmoid, and the images it stands for: those given, drawn in."""
        if can_colour(image):
            plane, inside = uncoloured(image, mixing(self.decorrelate, space, inverse=True), _range(self, space), MARGIN, with_image=True)
            assert inside is not None
            return plane, inside
        low, high = self.ends(space)
        return self.plane(image, space), low + ((image - low) / (high - low)).clamp(MARGIN, 1 - MARGIN) * (high - low)

    def ends(self, space: ImageSpace) -> tuple[Tensor, Tensor]:
        """Return what stands for black and white."""
        assert space.low is not None
        assert space.high is not None
        if self.values is None:
            return space.low, space.high
        return space.low.new_full((1, 1, 1), self.values[0]), space.high.new_full((1, 1, 1), self.values[1])


# A step asks for these several times, and they depend on the parametrization and the space alone.
@lru_cache(maxsize=32)
def _middle(palette: Palette, space: ImageSpace) -> Tensor:
    """Return what is added to M t: t_0 under a sigmoid, else c_0."""
    low, high = palette.ends(space)
    if palette.centre == "mean":
        middle = torch.where((low < 0) & (high > 0), -low / (high - low), 0.5)
    else:
        assert space.low is not None
        assert space.high is not None
        colour = colour_tensor(palette.centre, space.low.new_empty(1, *space.shape), space)
        middle = (colour - space.low) / (space.high - space.low)
    return torch.logit(middle, eps=MARGIN) if palette.sigmoid else middle


@lru_cache(maxsize=32)
def _range(palette: Palette, space: ImageSpace) -> Range:
    """Return what the native kernels draw values into."""
    return range_of(*palette.ends(space), _middle(palette, space))


def image_shape(space: ImageSpace, who: str) -> tuple[int, int, int]:
    """Return (C, H, W) of an image space that holds images, and refuse a vector's."""
    if len(space.shape) != 3 or space.low is None or space.high is None:
        raise ImageError(f"{who} makes images, but the net's input has the shape {space.shape} and no grey levels; use Pixels")
    channels, height, width = space.shape
    return channels, height, width


def in_order(values: Tensor, space: ImageSpace) -> Tensor:
    """Return rows given for red, green, blue in the image space's channel order."""
    return torch.cat([values[:3].flip(0), values[3:]]) if space.order == "BGR" and len(values) >= 3 else values


def mixing(decorrelate: bool | str, space: ImageSpace, inverse: bool = False) -> Tensor | None:
    """Return the matrix (3, 3) from directions to the image space's channels, or its inverse; None where colours are not mixed."""
    if space.shape[0] != 3 or decorrelate is False:
        return None
    return _mixing(decorrelate, space.order, space.like.dtype, space.like.device, inverse)


@lru_cache(maxsize=32)
def _mixing(decorrelate: bool | str, order: str, dtype: torch.dtype, device: torch.device, inverse: bool) -> Tensor:
    rows: Sequence[Sequence[float]] = {True: _HOUSE, "lucid": _LUCID, "xplique": _XPLIQUE}[decorrelate]
    mix = torch.tensor(rows, dtype=torch.float64)
    if decorrelate != "xplique":
        mix = mix / mix.norm(dim=0).max()
    mix = (mix.flip(0) if order == "BGR" else mix).to(dtype=dtype, device=device)
    return torch.linalg.inv(mix) if inverse else mix


def mixed_colours(plane: Tensor, mix: Tensor | None) -> Tensor:
    """Return channels (N, C, H, W) mixed by a matrix (C, C)."""
    return plane if mix is None else torch.einsum("oc,nchw->nohw", mix, plane)
