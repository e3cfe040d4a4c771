"""An image cut into square patches, which are removed and put back together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Patches:
    """The grid of an image's patches, numbered row by row.

    Parameters
    ----------
    size : (int, int)
        The image's height and width in pixels.
    side : int
        Of a patch, in pixels; those at the lower and right edge are cut off there.

    Examples
    --------
    >>> grid = Patches((4, 5), 2)
    >>> grid.count, grid.sums(np.ones((4, 5))).tolist()
    (6, [4.0, 4.0, 2.0, 4.0, 4.0, 2.0])
    """

    size: tuple[int, int]
    side: int

    @property
    def shape(self) -> tuple[int, int]:
        """How many patches there are along each side."""
        height, width = self.size
        return -(-height // self.side), -(-width // self.side)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.shape[0] * self.shape[1]

    def sums(self, heat_map: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of a map (H, W) over each patch, (patches,)."""
        rows = np.add.reduceat(heat_map, np.arange(0, self.size[0], self.side), axis=0)
        return np.asarray(np.add.reduceat(rows, np.arange(0, self.size[1], self.side), axis=1).ravel())

    def pixels(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which pixels lie in chosen patches: (K, H, W) of (K, patches)."""
        height, width = self.size
        cells = chosen.reshape(len(chosen), *self.shape)
        return np.asarray(cells.repeat(self.side, 1).repeat(self.side, 2)[:, :height, :width])
