"""A sample of the images of a set, drawn evenly: which images are in it follows from the seed and their places in the set alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dreamopt.parts.streams import Stream


class ImageSample:
    """The images with the smallest of numbers that are drawn for each: any so many of them are equally likely.

    Whatever is kept for an image has the row that it is given. In which order images come does not matter.

    Parameters
    ----------
    size : int
        How many; all of a set with fewer.
    seed : int
        Of the draw.
    purpose : str
        Names it: samples of other purposes have nothing to do with each other.
    """

    def __init__(self, size: int, seed: int, purpose: str) -> None:
        self.size, self.seed, self.purpose = size, seed, purpose
        self.index: NDArray[np.int64] = np.full(size, -1, np.int64)
        """(size,): the images by row, by their places in the set; -1 where there is none yet."""
        self._drawn: NDArray[np.float64] = np.full(size, np.inf)

    def __len__(self) -> int:
        """How many images it holds."""
        return int((self.index >= 0).sum())

    def admit(self, indices: Sequence[int]) -> list[tuple[int, int]]:
        """Return the row of each image that is taken, with its number among those given; an image that was in the row before has left."""
        taken: dict[int, int] = {}
        for number, index in enumerate(indices):
            drawn = self._draw(index)
            row = int(np.argmax(self._drawn)) if self.size else 0
            if self.size and drawn < self._drawn[row]:
                self._drawn[row], self.index[row] = drawn, index
                taken[row] = number
        return sorted(taken.items())

    def order(self) -> NDArray[np.int64]:
        """Return the rows that hold an image, in the order of the set."""
        order = np.argsort(self.index, kind="stable")
        return order[self.index[order] >= 0]

    def restore(self, index: NDArray[np.int64]) -> None:
        """Take over the images by row."""
        self.index = index.copy()
        self._drawn = np.array([self._draw(int(one)) if one >= 0 else np.inf for one in index])

    def _draw(self, index: int) -> float:
        return float(Stream(self.seed, index).generator(self.purpose).random())
