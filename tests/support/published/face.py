"""A net as pycaffe shows it, and the random numbers of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import dreamopt.caffe as caffe
from dreamopt.parts.streams import Stream

Array = NDArray[np.float64]
Seed = Callable[[Array], Array]
"""What is written into a blob's diff, made from its data."""
MEAN = np.array([104.0, 117.0, 123.0]).reshape(3, 1, 1)
"""BGR."""


class Face:
    """A net whose input is BGR, 0-255, mean subtracted."""

    def __init__(self, prototxt: Path, weights: Path) -> None:
        self.net = caffe.Net(str(prototxt), str(weights), caffe.TEST)
        self.source = self.net.inputs[0]

    @property
    def size(self) -> tuple[int, int]:
        return self.net.blobs[self.source].data.shape[2:]

    def forward(self, x: Array, layer: str) -> Array:
        blob = self.net.blobs[self.source]
        if blob.data.shape != (1, *x.shape):
            blob.reshape(1, *x.shape)
            self.net.reshape()
        blob.data[0] = x
        self.net.forward(end=layer)
        return np.array(self.net.blobs[layer].data, dtype=np.float64)

    def backward(self, layer: str, diff: Array) -> Array:
        """Return the input's diff for a diff at a layer that was just run.

        What an earlier pass left in branches beside the way down would be added where they part, in Caffe too; so all is cleared.
        """
        for blob in self.net.blobs.values():
            blob.diff[...] = 0
        self.net.blobs[layer].diff[...] = diff
        self.net.backward(start=layer)
        return np.array(self.net.blobs[self.source].diff[0], dtype=np.float64)

    def gradient(self, x: Array, layer: str, seed: Seed) -> Array:
        return self.backward(layer, seed(self.forward(x, layer)))


def one_hot(unit: int) -> Seed:
    """A class."""

    def seed(a: Array) -> Array:
        diff = np.zeros_like(a)
        diff.flat[unit] = 1
        return diff

    return seed


def mean_of_channel(unit: int) -> Seed:
    def seed(a: Array) -> Array:
        diff = np.zeros_like(a)
        diff[0, unit] = 1 / a[0, unit].size
        return diff

    return seed


def at_place(unit: int, row: int, column: int) -> Seed:
    def seed(a: Array) -> Array:
        diff = np.zeros_like(a)
        diff[0, unit, row, column] = 1
        return diff

    return seed


def clipped(x: Array) -> Array:
    """Black to white."""
    return np.clip(x, -MEAN, 255 - MEAN)


@dataclass(frozen=True)
class Draws:
    """The streams of item 0 of a run."""

    seed: int = 0

    def start(self, purpose: str, shape: tuple[int, ...]) -> Array:
        return Stream(self.seed, 0, 0).generator(purpose).standard_normal(shape)

    def generator(self, purpose: str, step: int, place: int = 0, octave: int = 0, view: int = 0) -> np.random.Generator:
        return Stream(self.seed, 0, step).fold_in(octave, view, place).generator(purpose)
