"""Restarts of a render: the louder and other starts that are tried while a dead ReLU leaves a sample's gradient zero."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dreamopt.image.parametrization import Parametrization
from dreamopt.image.parametrizations.fourier import Fourier
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.optimize import Restart

LEAST = 10.0
"""Grey levels: a restart multiplies at least this noise, even if the first start has less."""
# Factor of the noise, power with which a spectrum falls (for a plain `Fourier`), number added to the seed. Of SqueezeNet's 2792
# filters and classes the first start has a gradient for 80 of 100, strong smooth blobs of colour for most of the rest, all of
# these for 97.
_TRIED = (*((12.0, 2.0, offset) for offset in range(6)), *((36.0, 1.0, offset) for offset in range(4)), (12.0, 0.0, 0))
_NOISE: dict[type[Parametrization], float] = {Fourier: 4.0, Pixels: 10.0}


def restarts_of(parametrization: Parametrization) -> tuple[Restart, ...]:
    """Return the restarts for a parametrization: louder where its noise is known, in any case drawn with other seeds.

    >>> print(restarts_of(Pixels())[0])
    Restart(Pixels(noise=120.0), through_image=True)
    """
    noise: float | None = getattr(parametrization, "noise", None)
    plain = is_plain(parametrization)
    if noise is None and plain:
        noise = _NOISE[type(parametrization)]
    return tuple(make_restarts(parametrization, noise, plain))


def is_plain(parametrization: Parametrization) -> bool:
    """Return whether it is a spectrum or pixels of which nothing but the noise is set."""
    changed: Any = parametrization
    return type(parametrization) in _NOISE and replace(changed, noise=None) == type(parametrization)()


def make_restarts(parametrization: Parametrization, noise: float | None, plain: bool) -> Iterator[Restart]:
    """Yield restarts with multiples of a noise; ``plain`` also with other spectra, each by way of the image."""
    for factor, power, seed_offset in _TRIED:
        other: Any = parametrization
        if noise is not None:
            other = replace(other, noise=max(noise, LEAST) * factor)
        if plain and isinstance(other, Fourier):
            other = replace(other, power=power)
        # A spectrum of another power is turned into an image, and that into the parameters that are searched.
        yield Restart(other, seed_offset, through_image=plain)
