"""The images that layers of one receptive field are shown: grey, gratings, colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dreamopt.tuning.stimuli import GREY, Levels, colour_field, colour_of, grating

PHASES = (0.0, 90.0, 180.0, 270.0)
_SLOWEST = 0.5
"""Cycles per receptive field of the coarsest grating."""
_FINEST = 2.5
"""Pixels from bar to bar of the finest one; at 2 all that is left of a slanted grating are beats."""
_LEAST_FIELD = 3
"""Pixels of a receptive field from which on bars can be distinguished."""

MakeImage = Callable[[], Levels]


@dataclass(frozen=True)
class Shown:
    """A set of stimuli.

    Parameters
    ----------
    images : tuple of callable
        What makes each, (H, W) or (H, W, 3): a grey one, the gratings, the colours.
    angles, rates, hues : tuple of float
        Degrees, cycles per receptive field, degrees; empty where there are none of the kind.
    left_out : tuple of str
        Which kinds there are not, and why, one sentence each.
    """

    images: tuple[MakeImage, ...]
    angles: tuple[float, ...]
    rates: tuple[float, ...]
    hues: tuple[float, ...]
    left_out: tuple[str, ...]

    @property
    def gratings(self) -> int:
        """How many of the images are gratings: every rate with every angle, in four phases."""
        return len(self.rates) * len(self.angles) * len(PHASES)


def shown_to(size: tuple[int, int], length: int, numbers: Sequence[int], channels: int) -> Shown:
    """Return the stimuli of a size.

    Parameters
    ----------
    size : (int, int)
        Height and width of the images in pixels.
    length : int
        Of a receptive field's shorter side, in pixels.
    numbers : sequence of int
        How many orientations, frequencies and hues.
    channels : int
        Of the net's input.

    Examples
    --------
    >>> shown = shown_to((9, 7), 5, (3, 2, 4), channels=1)
    >>> len(shown.images), shown.gratings, shown.left_out
    (25, 24, ("colour: the net's input has 1 channel(s), not three",))
    """
    orientations, frequencies, hues = numbers
    left_out: list[str] = []
    angles = tuple(180.0 * i / orientations for i in range(orientations))
    rates, at_hues = tuple[float, ...](), tuple[float, ...]()
    if length >= _LEAST_FIELD:
        rates = tuple(float(rate) for rate in np.geomspace(_SLOWEST, max(_SLOWEST, length / _FINEST), frequencies))
    else:
        left_out.append(f"orientation and frequency: a place sees {length} pixel(s), in which no bars can be distinguished")
    if channels == 3:
        at_hues = tuple(360.0 * i / hues for i in range(hues))
    else:
        left_out.append(f"colour: the net's input has {channels} channel(s), not three")
    images: list[MakeImage] = [lambda: np.full(size, GREY)]
    images += [_Grating(size, angle, length / rate, phase) for rate in rates for angle in angles for phase in PHASES]
    images += [_Colour(size, hue, diameter) for hue in at_hues for diameter in (None, length / 2)]
    return Shown(tuple(images), angles, rates, at_hues, tuple(left_out))


@dataclass(frozen=True)
class _Grating:
    size: tuple[int, int]
    orientation: float
    wavelength: float
    phase: float

    def __call__(self) -> Levels:
        return grating(self.size, self.orientation, self.wavelength, self.phase)


@dataclass(frozen=True)
class _Colour:
    size: tuple[int, int]
    hue: float
    diameter: float | None

    def __call__(self) -> Levels:
        return colour_field(self.size, colour_of(self.hue), self.diameter)
