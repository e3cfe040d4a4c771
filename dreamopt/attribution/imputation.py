"""Missing pixels filled in from those around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

_WEIGHTS = tuple((dy, dx, 1 / 6 if 0 in (dy, dx) else 1 / 12) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))
"""The neighbours: how far down and to the right, and their weights, which add up to 1."""


def imputed(image: NDArray[np.float64], removed: NDArray[np.bool_]) -> NDArray[np.float64]:
    r"""Return an image whose removed pixels are the weighted means of their neighbours, removed ones too.

    .. math:: x_i = \sum_j w_{ij} x_j \Big/ \sum_j w_{ij}, \quad w = 1/6 \text{ beside}, \; 1/12 \text{ at a corner}

    j being the neighbours that lie in the image: a sparse system of linear equations, of one row for each removed pixel, solved for all
    channels at once.

    Parameters
    ----------
    image : ndarray, (C, H, W)
        The image.
    removed : ndarray, (H, W), bool
        What is missing; not all of it.

    References
    ----------
    .. [1] Y. Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", 2022, section 4 and appendix.

    Examples
    --------
    >>> row = np.array([[[0.0, 9.0, 9.0, 6.0]]])
    >>> imputed(row, np.array([[False, True, True, False]])).round(12).tolist()
    [[[0.0, 2.0, 4.0, 6.0]]]
    """
    if not removed.any():
        return image.copy()
    height, width = removed.shape
    rows, columns = np.nonzero(removed)
    count = len(rows)
    equation = np.full(removed.shape, -1, np.intp)
    equation[removed] = np.arange(count)
    diagonal = np.zeros(count)
    known = np.zeros((count, len(image)))
    places, others, weights = [np.arange(count)], [np.arange(count)], [diagonal]
    for down, right, weight in _WEIGHTS:
        y, x = rows + down, columns + right
        inside = np.flatnonzero((y >= 0) & (y < height) & (x >= 0) & (x < width))
        y, x = y[inside], x[inside]
        diagonal[inside] += weight
        other = equation[y, x]
        unknown = other >= 0
        places.append(inside[unknown])
        others.append(other[unknown])
        weights.append(np.full(int(unknown.sum()), -weight))
        known[inside[~unknown]] += weight * image[:, y[~unknown], x[~unknown]].T
    matrix = sparse.csc_matrix((np.concatenate(weights), (np.concatenate(places), np.concatenate(others))), shape=(count, count))
    # Symmetric and diagonally dominant: no pivoting is needed, and an order of elimination for symmetric matrices is the fast one.
    solver = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    filled = image.copy()
    filled[:, rows, columns] = solver.solve(known).T
    return filled
