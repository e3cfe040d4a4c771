"""Synthetic stimuli: gratings, and fields and discs of one colour, as images of grey levels 0-255."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.float64]

GREY = 127.5
"""The level around which all stimuli lie, and to which units' responses are compared."""


def grating(size: tuple[int, int], orientation: float, wavelength: float, phase: float = 0.0, contrast: float = 1.0) -> Levels:
    """Return a sinusoidal grating, (H, W).

    ``127.5 (1 + contrast cos(2 pi (x sin o + y cos o) / wavelength + phase))``, x to the right and y down from the image's middle.

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels.
    orientation : float
        Of the bars, in degrees: 0 is horizontal, 45 rises to the right, 90 is vertical.
    wavelength : float
        Pixels from bar to bar, above 0.
    phase : float
        In degrees: 0 has a bright bar in the middle, 180 a dark one.
    contrast : float
        0 to 1; at 1 bars are black and white.

    Examples
    --------
    >>> grating((2, 5), 90, 4).round().tolist()[0]
    [0.0, 128.0, 255.0, 128.0, 0.0]
    """
    angle = np.radians(orientation)
    x, y = _places(size)
    waves = (x * np.sin(angle) + y * np.cos(angle)) / wavelength
    levels: Levels = GREY * (1 + contrast * np.cos(2 * np.pi * waves + np.radians(phase)))
    return levels


def colour_of(hue: float) -> Levels:
    """Return the colour of a hue, (3,), RGB, of the mean level 127.5 and of one saturation for all hues.

    Channel k has ``127.5 (1 + cos(hue - 120 k))``: red at 0 degrees, green at 120, blue at 240.

    Examples
    --------
    >>> colour_of(120).tolist()
    [63.75, 255.0, 63.75]
    """
    levels: Levels = GREY * (1 + np.cos(np.radians(hue - 120.0 * np.arange(3)))).round(12)
    return levels


def colour_field(size: tuple[int, int], colour: Levels, diameter: float | None = None) -> Levels:
    """Return an image of one colour, (H, W, 3); with a diameter in pixels a disc of it on grey, in the middle."""
    image = np.full((*size, 3), GREY)
    x, y = _places(size)
    inside = np.full(size, True) if diameter is None else np.hypot(x, y) <= diameter / 2
    image[inside] = colour
    return image


def _places(size: tuple[int, int]) -> tuple[Levels, Levels]:
    """Return x, (1, W), and y, (H, 1), of pixels' centres from the image's middle."""
    rows, columns = (np.arange(side, dtype=np.float64) - (side - 1) / 2 for side in size)
    return columns[None, :], rows[:, None]
