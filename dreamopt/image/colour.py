"""Colours as parameters, and as values of the net's input."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.parts.checks import plain_number, several, shown
from dreamopt.parts.image_space import ImageSpace

Colour = float | str | tuple[float, ...]
"""A colour: "mean" (0 of the input space), "black", "grey", "white", a grey level 0-255, or three of them (red, green, blue)."""
LUMINANCE = (0.299, 0.587, 0.114)
"""What red, green and blue count for in a grey level: ITU-R 601, as Pillow's and skimage's older grey conversions."""
_NAMED = {"black": 0.0, "grey": 127.5, "white": 255.0}


def checked_colour(colour: object) -> Colour:
    """Return a colour, a list of three as a tuple, known to be well formed.

    Raises
    ------
    UsageError
        For anything that is no colour.

    Examples
    --------
    >>> checked_colour([255, 0, 0])
    (255, 0, 0)
    """
    if isinstance(colour, str) and (colour == "mean" or colour in _NAMED):
        return colour
    values = several(colour)
    many = [colour] if values is None else values
    # Plain numbers: numpy's would be printed by their own names.
    levels = tuple(level for level in map(plain_number, many) if level is not None and 0 <= level <= 255)
    if len(levels) != len(many) or len(levels) != (1 if values is None else 3):
        raise UsageError(f"a colour is mean, black, grey, white, a grey level from 0 to 255, or (red, green, blue), not {shown(colour)}")
    return levels if len(levels) == 3 else levels[0]


def colour_tensor(colour: Colour, image: Tensor, space: ImageSpace | None) -> Tensor:
    """Return a colour in the net's input space, (C, 1, 1), or (C, H, W) where black differs from pixel to pixel.

    Parameters
    ----------
    colour : float, str or tuple
        As in `Colour`.
    image : Tensor
        (N, C, H, W), or a volume, for the number of channels, size, dtype and device. Where a mean image of another size was subtracted,
        its own mean stands for it.
    space : ImageSpace or None
        Knows black and white; not needed for "mean".

    Raises
    ------
    UsageError
        For a colour other than "mean" where the net's input has no black and white, and for three numbers without three channels.

    Examples
    --------
    >>> colour_tensor("mean", torch.ones(1, 2, 3, 4), None).flatten()
    tensor([0., 0.])
    """
    ones = (1,) * (image.dim() - 2)
    zeros = image.new_zeros(image.shape[1], *ones)
    if colour == "mean":
        return zeros
    if space is None or space.black is None or space.white is None:
        raise UsageError(f"colour {colour!r} needs a net that sees pictures; 'mean' always goes")
    if isinstance(colour, tuple):
        if image.shape[1] != 3 or len(colour) != 3:
            raise UsageError(f"colour {colour} has 3 numbers, but the image has {image.shape[1]} channels; give one grey level")
        levels = list(colour[::-1] if space.order == "BGR" else colour)
    else:
        levels = [_NAMED[colour] if isinstance(colour, str) else float(colour)] * image.shape[1]
    part = image.new_tensor(levels).reshape(-1, *ones) / 255.0
    black, white = (_fitted(bound.to(image), image) for bound in (space.black, space.white))
    return torch.lerp(black, white, part) + zeros


def colour_fits(colour: Colour, space: ImageSpace) -> bool:
    """Return whether images of a space can have a colour: three numbers want three channels."""
    return not isinstance(colour, tuple) or (space.low is not None and space.shape[0] == len(colour))


def _fitted(bound: Tensor, image: Tensor) -> Tensor:
    size = image.shape[2:]
    fits = bound.dim() == image.dim() - 1 and all(side in (1, full) for side, full in zip(bound.shape[1:], size, strict=True))
    return bound if fits else bound.reshape(bound.shape[0], -1).mean(1).reshape(-1, *(1,) * len(size))
