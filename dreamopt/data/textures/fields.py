"""Scalar fields over an image: noise, lattices, and signed distances turned into coverage."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

Field = NDArray[np.float32]


def f32(values: ArrayLike) -> Field:
    """Return ``values`` as an array of float32."""
    return np.asarray(values, np.float32)


def cover(distance: Field, softness: float = 1.2) -> Field:
    """Return how much of each pixel lies inside, in 0..1, of a signed distance in pixels (negative inside)."""
    return f32(np.clip(0.5 - distance / np.float32(softness), 0, 1))


def fold(x: Field, period: float) -> Field:
    """Return the distance of ``x`` to the nearest multiple of ``period``, in 0..period/2."""
    return np.abs(x - period * np.round(x / np.float32(period)))


def wander(rng: np.random.Generator, size: int, cell: float) -> Field:
    """Return smooth noise in about -1..1 whose lumps are ``cell`` pixels wide."""
    n = int(np.ceil(size / cell)) + 4
    coarse = rng.standard_normal((n, n)).astype(np.float32)
    at = np.float32(1) + np.arange(size, dtype=np.float32) / np.float32(cell) + np.float32(rng.random())
    i = at.astype(int)
    t = at - i
    # Cubic B-spline weights: smooth to the second derivative, so lumps show no grid.
    w = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / np.float32(6)
    mix = np.zeros((size, n), np.float32)
    for k in range(4):
        mix[np.arange(size), np.minimum(i - 1 + k, n - 1)] += w[k]
    return f32(np.float32(1.6) * (mix @ coarse @ mix.T))


def turbulence(rng: np.random.Generator, size: int, cell: float, octaves: int = 4) -> Field:
    """Return noise with detail at every scale from ``cell`` pixels down, in about -1..1."""
    total = np.zeros((size, size), np.float32)
    for k in range(octaves):
        total += wander(rng, size, max(cell / 2**k, 1.5)) * np.float32(0.55**k)
    return total / np.float32(1.6)


def band_noise(rng: np.random.Generator, size: int, period: float, width: float = 0.25) -> Field:
    """Return noise that holds only waves of about ``period`` pixels in all directions, of standard deviation 1."""
    n = 2 * size
    k = np.fft.fftfreq(n)[:, None] ** 2 + np.fft.rfftfreq(n)[None] ** 2
    gain = np.exp(-0.5 * ((np.sqrt(k) * period - 1) / width) ** 2)
    noise = fft.irfft2(fft.rfft2(rng.standard_normal((n, n))) * gain, s=(n, n))[:size, :size]
    return f32(noise / noise.std())


def blur(rgb: Field, sigma: float) -> Field:
    """Return the image (H, W, 3) smoothed by a Gaussian of ``sigma`` pixels."""
    return f32(ndimage.gaussian_filter(rgb, (sigma, sigma, 0), truncate=2.5))


class Lattice:
    """Cells of a plane: for each pixel its place in its cell and that cell's own random numbers.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the cells' numbers come from.
    x, y : (H, W) float32
        Coordinates in pixels.
    width, height : float
        Size of a cell in pixels.
    stagger : float
        How far each row is moved against the one before, in cells, 0..1.
    """

    def __init__(self, rng: np.random.Generator, x: Field, y: Field, width: float, height: float, stagger: float = 0.0) -> None:
        self.j = np.floor(y / np.float32(height)).astype(np.int32)
        moved = x + np.float32(stagger * width) * (self.j % 2)
        self.i = np.floor(moved / np.float32(width)).astype(np.int32)
        self.u = moved - np.float32(width) * (self.i + np.float32(0.5))
        self.v = y - np.float32(height) * (self.j + np.float32(0.5))
        self._rng = rng

    def random(self, low: float = 0.0, high: float = 1.0) -> Field:
        """Return one number per cell, spread over the cell's pixels."""
        table = f32(self._rng.uniform(low, high, (32, 32)))
        return f32(table[self.j % 32, self.i % 32])
