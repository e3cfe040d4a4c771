"""Showing attributions: numbers as colours, over the image that they are of."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dreamopt.attribution.method import Summary
from dreamopt.errors import UsageError
from dreamopt.image.colour import LUMINANCE
from dreamopt.image.colour_maps import SIGNED, UNSIGNED, coloured
from dreamopt.image.modes import RGBImage
from dreamopt.parts.checks import FRACTION, Range, check_number, shown

CLIP = 99.5
"""The default percentile of the absolute values that gets the strongest colour."""
OPACITY = 0.7
"""Of the strongest colours of an overlay."""
ShownAs = Summary | Literal["rgb"]
"""What is shown of an array: a heat map, by how the channels are summed up, or the channels' own values as red, green and blue."""
SHOWN_AS: tuple[ShownAs, ...] = (*get_args(Summary), "rgb")
_PERCENTILE = Range(0, 100, above=True)


def check_shown_as(summary: object) -> ShownAs:
    """Return a name of `ShownAs`; UsageError for anything else."""
    for name in SHOWN_AS:
        if summary == name:
            return name
    raise UsageError(f"summary must be one of {', '.join(SHOWN_AS)}, not {shown(summary)}")


def check_clip(clip: object) -> float:
    """Return a percentile; UsageError unless it is a number above 0, up to 100."""
    return check_number("clip", clip, _PERCENTILE)


def limit_of(values: NDArray[np.floating], clip: float = CLIP) -> float:
    """Return what gets the strongest colour: the percentile ``clip`` of the absolute values, interpolated as by `numpy.percentile`.

    Where that is 0, as of a map of a few points, it is the largest of them, and 0 for a map that is 0 everywhere.

    >>> limit_of(np.array([-3.0, 0.0, 1.0, 2.0, 4.0]), 75.0), limit_of(np.array([0.0, 0.0, 0.0, -2.0]), 50.0)
    (3.0, 2.0)
    """
    sizes = np.abs(np.nan_to_num(values.astype(np.float64)))
    return float(np.percentile(sizes, clip)) or float(sizes.max())


def levels_of(values: NDArray[np.floating], clip: float = CLIP) -> NDArray[np.float64]:
    """Return values over their limit, cut at -1 and 1."""
    limit = limit_of(values, clip)
    finite: NDArray[np.float64] = np.nan_to_num(values.astype(np.float64))
    return np.clip(finite / limit, -1, 1) if limit else finite


def heat_colours(heat: NDArray[np.floating], signed: bool, *, colours: str | None = None, clip: float = CLIP) -> RGBImage:
    """Return a heat map's colours.

    A signed map goes from -limit to limit, with 0 in the colour map's middle; another one from 0 to the limit.

    Parameters
    ----------
    heat : ndarray, (H, W)
        The values.
    signed : bool
        Whether values below 0 have a meaning.
    colours : str, optional
        A colour map's name; by default `SIGNED` or `UNSIGNED` of `dreamopt.image.colour_maps`.
    clip : float
        Percentile of the absolute values, 0 to 100, that is the limit: see `limit_of`.

    Returns
    -------
    ndarray, (H, W, 3), uint8
        RGB.

    Examples
    --------
    >>> heat_colours(np.array([[-2.0, 0.0, 1.0]]), True, colours="gray", clip=100).tolist()
    [[[0, 0, 0], [128, 128, 128], [191, 191, 191]]]
    """
    levels = levels_of(heat, check_clip(clip))
    name = (SIGNED if signed else UNSIGNED) if colours is None else colours
    return coloured((levels + 1) / 2 if signed else levels, name)


def channel_colours(array: NDArray[np.floating], clip: float = CLIP) -> RGBImage:
    """Return an array's values, (H, W, 3), as red, green and blue about middle grey: the limit of all of them is white or black.

    >>> channel_colours(np.array([[[-1.0, 0.0, 1.0]]]), 100).tolist()
    [[[0, 128, 255]]]
    """
    return np.floor((levels_of(array, check_clip(clip)) + 1) * 127.5 + 0.5).astype(np.uint8)


def over_image(image: RGBImage, colours: RGBImage, levels: NDArray[np.floating], opacity: float = OPACITY) -> RGBImage:
    """Return colours over an image in grey, more opaque where the map is stronger.

    Parameters
    ----------
    image, colours : ndarray, (H, W, 3), uint8
        The image, and the colours of its map.
    levels : ndarray, (H, W)
        The map over its limit, -1 to 1.
    opacity : float
        0 to 1, at the limit; elsewhere that times the level's size, so that where the map is 0 the image is seen as it is, in grey.

    Examples
    --------
    >>> image, red = np.full((1, 2, 3), 100, np.uint8), np.full((1, 2, 3), (200, 0, 0), np.uint8)
    >>> over_image(image, red, np.array([[0.0, 1.0]]), 0.5).tolist()
    [[[100, 100, 100], [150, 50, 50]]]
    """
    part = check_number("opacity", opacity, FRACTION) * np.abs(levels)[..., None]
    grey = image.astype(np.float64) @ np.array(LUMINANCE)
    mixed: RGBImage = np.floor(grey[..., None] * (1 - part) + colours * part + 0.5).astype(np.uint8)
    return mixed
