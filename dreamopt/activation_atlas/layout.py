"""Laying activation vectors out on a plane, alike beside alike, and the plane's grid of cells."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import UsageError

FEWEST = 10
"""Vectors of the smallest atlas."""
LARGEST_GRID = 20
"""Cells along a side, at the most."""
_PERPLEXITY = 50
_PERCENTILES = (1, 99)
_MARGIN = 0.1
_USUAL = 10  # vectors that a cell of a large atlas has at least


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell of the grid.

    Parameters
    ----------
    row, column : int
        Where, from the top left.
    members : ndarray
        The vectors in it, by their numbers, rising.
    """

    row: int
    column: int
    members: NDArray[np.int64]


def lay_out(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """Return a place in the unit square for each vector, (N, 2), x and y: t-SNE of their directions.

    Distances are cosines, the perplexity is 50 or what so few vectors allow, and one thread computes it, so that the bits repeat. What lies
    beyond the percentiles 1 to 99 and a margin of a tenth is moved to the border.

    Parameters
    ----------
    vectors : ndarray, (N, C)
        None of them zero.
    seed : int
        Of t-SNE.

    Raises
    ------
    UsageError
        For fewer than ``FEWEST`` vectors, or vectors that all have one direction.

    References
    ----------
    .. [1] van der Maaten, Hinton, "Visualizing Data using t-SNE", JMLR 2008; computed by openTSNE (Policar, Strazar, Zupan 2019).
    .. [2] Carter et al., "Exploring Neural Networks with Activation Atlases", Distill 2019.
    """
    from openTSNE import TSNE

    count = len(vectors)
    if count < FEWEST:
        raise UsageError(
            f"an activation atlas needs at least {FEWEST} positions that are not all zero, and there are {count}: give more images"
        )
    directions = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if float(np.abs(directions - directions[0]).max()) < 1e-6:
        raise UsageError(f"the {count} positions all have the same direction: there is nothing to lay out")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few vectors: the perplexity is chosen for them
        made = TSNE(
            perplexity=min(_PERPLEXITY, (count - 1) / 3), metric="cosine", initialization="pca", random_state=seed, n_jobs=1, verbose=False
        ).fit(directions)
    return fitted_to_square(np.asarray(made, np.float64))


def fitted_to_square(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return places (N, 2) scaled to the unit square; a few that lie far away are moved to its border.

    >>> fitted_to_square(np.array([[0.0, 3.0], [10.0, 3.0], [5.0, 3.0]])).round(2).tolist()
    [[0.07, 0.5], [0.93, 0.5], [0.5, 0.5]]
    """
    low, high = np.percentile(places, _PERCENTILES, axis=0)
    margin = _MARGIN * (high - low)
    low, high = low - margin, high + margin
    wide = high > low
    scaled = (np.clip(places, low, high) - low) / np.where(wide, high - low, 1)
    return np.where(wide, scaled, 0.5)


def grid_side(count: int) -> int:
    """Return how many cells a side has for so many vectors: about five vectors a cell, up to ``LARGEST_GRID``.

    >>> [grid_side(count) for count in (10, 50, 500, 2000, 100_000)]
    [2, 3, 10, 20, 20]
    """
    return max(2, min(LARGEST_GRID, math.isqrt(count // 5)))


def fewest_in_cell(count: int, cells: int) -> int:
    """Return how many vectors a cell must have to be shown: a quarter of the mean, from 1 to 10.

    >>> fewest_in_cell(50, 9), fewest_in_cell(100_000, 400)
    (1, 10)
    """
    return max(1, min(_USUAL, count // (4 * cells)))


def cells_of(places: NDArray[np.float64], grid: tuple[int, int], fewest: int) -> Sequence[Cell]:
    """Return the cells with at least so many places, row by row; a place on a border between two belongs to the later one alone.

    >>> [(cell.row, cell.column, cell.members.tolist()) for cell in cells_of(np.array([[0.5, 0.0], [1.0, 1.0], [0.2, 0.1]]), (2, 2), 1)]
    [(0, 0, [2]), (0, 1, [0]), (1, 1, [1])]
    """
    rows, columns = grid
    column = np.minimum((places[:, 0] * columns).astype(np.int64), columns - 1)
    row = np.minimum((places[:, 1] * rows).astype(np.int64), rows - 1)
    number = row * columns + column
    found = []
    for cell in np.unique(number):
        members = np.flatnonzero(number == cell)
        if len(members) >= fewest:
            found.append(Cell(int(cell) // columns, int(cell) % columns, members))
    return found
