"""What the recipes that search a spectrum share, Lucid's and MaCo. Transforms are sparse matrices, so that their adjoints are transposes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from tests.support.published.face import MEAN, Array

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Seen:
    """What the net sees: planes of ``size``, each ``matrix`` times the image's, plus what lies outside it."""

    matrix: sparse.spmatrix
    added: Array
    size: tuple[int, int]

    def of(self, x: Array) -> Array:
        return (self.matrix @ x.reshape(3, -1).T).T.reshape(3, *self.size) + self.added

    def back(self, g: Array, size: tuple[int, int]) -> Array:
        return (self.matrix.T @ g.reshape(3, -1).T).T.reshape(3, *size)


def sampled(size: tuple[int, int], rows: Array, columns: Array) -> sparse.csr_matrix:
    """Bilinear samples at fractional places; neighbours outside of the image count 0."""
    shape, rows, columns = rows.shape, rows.ravel(), columns.ravel()
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    values, to, source = [], [], []
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (1 - np.abs(rows - top - y)) * (1 - np.abs(columns - left - x))
        inside = (top + y >= 0) & (top + y < size[0]) & (left + x >= 0) & (left + x < size[1])
        values.append(weight[inside])
        to.append(np.arange(rows.size)[inside])
        source.append(((top + y) * size[1] + left + x)[inside])
    count = (int(np.prod(shape)), size[0] * size[1])
    return sparse.csr_matrix((np.concatenate(values), (np.concatenate(to), np.concatenate(source))), shape=count)


def then(seen: Seen, rows: Array, columns: Array, fill: Array) -> Seen:
    """Sample what was seen, with a colour (3, 1, 1) outside."""
    matrix = sampled(seen.size, rows, columns)
    inside = (matrix @ np.ones(matrix.shape[1])).reshape(rows.shape)
    added = (matrix @ seen.added.reshape(3, -1).T).T.reshape(3, *rows.shape) + (1 - inside) * fill
    return Seen(matrix @ seen.matrix, added, rows.shape)


def grid(height: int, width: int) -> tuple[Array, Array]:
    rows, columns = np.mgrid[0:height, 0:width].astype(float)
    return rows, columns


def turned(seen: Seen, degrees: float, factor: float, fill: Array) -> Seen:
    """Zoom by a factor and turn counter-clockwise, both about the centre."""
    rows, columns = grid(*seen.size)
    middle = (seen.size[0] - 1) / 2, (seen.size[1] - 1) / 2
    y, x = rows - middle[0], columns - middle[1]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return then(seen, (cos * y + sin * x) / factor + middle[0], (cos * x - sin * y) / factor + middle[1], fill)


def cut(seen: Seen, top: int, left: int, size: tuple[int, int], fill: Array) -> Seen:
    rows, columns = grid(*size)
    return then(seen, rows + top, columns + left, fill)


def untouched(size: tuple[int, int]) -> Seen:
    return Seen(sparse.identity(size[0] * size[1], format="csr"), np.zeros((3, *size)), size)


GREY, BLACK = 127.5 - MEAN, -MEAN


def jittered(seen: Seen, lost: int, draw: np.random.Generator) -> Seen:
    top, left = (int(draw.integers(0, lost, endpoint=True)) for _ in range(2))
    return cut(seen, top, left, (seen.size[0] - lost, seen.size[1] - lost), GREY)


def columns_weight(width: int) -> Array:
    """How often each column of half a spectrum stands in the whole."""
    weight = np.full(width // 2 + 1, 2.0)
    weight[0] = 1
    if width % 2 == 0:
        weight[-1] = 1
    return weight


def spectrum_of(g: Array) -> Complex:
    """The adjoint of numpy's irfft2 without its 1 / (H W), times that."""
    return np.fft.rfft2(g) * columns_weight(g.shape[2]) / (g.shape[1] * g.shape[2])


def coloured(plane: Array, matrix: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Return the image (BGR, mean subtracted) of decorrelated planes, and its adjoint."""
    shape = plane.shape
    part = 1 / (1 + np.exp(-(matrix @ plane.reshape(3, -1)).reshape(shape)))

    def back(g: Array) -> Array:
        inner = g[::-1] * 255 * part * (1 - part)
        return (matrix.T @ inner.reshape(3, -1)).reshape(shape)

    return 255 * part[::-1] - MEAN, back
