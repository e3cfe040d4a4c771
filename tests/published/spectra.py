"""The recipes that search a spectrum: Lucid's and MaCo. Transforms are sparse matrices, so that their adjoints are transposes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from tests.published.face import MEAN, Array, Draws, Face, Seed

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


def lucid_transforms(size: tuple[int, int], draws: Draws, step: int) -> Seen:
    """Lucid's standard list; scaling keeps the size, and the end has the image's, as the preset's notes say."""
    seen = cut(untouched(size), -12, -12, (size[0] + 24, size[1] + 24), GREY)
    seen = jittered(seen, 8, draws.generator("crop_jitter", step, place=1))
    scales = [1 + (i - 5) / 50 for i in range(11)]
    seen = turned(seen, 0, scales[int(draws.generator("scale", step, place=2).integers(0, 10, size=1, endpoint=True)[0])], GREY)
    angles = [*range(-10, 11), 0, 0, 0, 0, 0]
    seen = turned(seen, angles[int(draws.generator("rotate", step, place=3).integers(0, 25, size=1, endpoint=True)[0])], 1, BLACK)
    seen = jittered(seen, 4, draws.generator("crop_jitter", step, place=4))
    return cut(seen, (seen.size[0] - size[0]) // 2, (seen.size[1] - size[1]) // 2, size, GREY)


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


LUCID = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


def lucid2017(face: Face, layer: str, seed: Seed, draws: Draws, size: tuple[int, int], steps: int) -> Array:
    """``render_vis``: Adam 0.05 on a scaled spectrum drawn from N(0, 0.01)."""
    height, width = size
    matrix = LUCID / np.linalg.norm(LUCID, axis=0).max()
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    scale = np.sqrt(height * width) / np.maximum(f, 1 / max(height, width))
    drawn = 0.01 * draws.start("fourier", (3, *f.shape, 2))
    p = drawn[..., 0] + 1j * drawn[..., 1]
    m, v = np.zeros_like(p), np.zeros_like(p)
    for i in range(steps):
        x, back = coloured(np.fft.irfft2(scale * p, s=size) / 4, matrix)
        seen = lucid_transforms(size, draws, i)
        g = seen.back(face.gradient(seen.of(x), layer, seed), size)
        g = spectrum_of(back(g) / 4) * scale
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * (g.real**2 + 1j * g.imag**2)
        rate = 0.05 / (1 - 0.9 ** (i + 1))
        root = [np.sqrt(part / (1 - 0.999 ** (i + 1))) + 1e-8 for part in (v.real, v.imag)]
        p = p + rate * (m.real / root[0] + 1j * m.imag / root[1])
    return coloured(np.fft.irfft2(scale * p, s=size) / 4, matrix)[0]


XPLIQUE = np.array([[0.56282854, 0.58447580, 0.58447580], [0.19482528, 0.0, -0.19482528], [0.04329450, -0.10823626, 0.06494176]]).T


def standard(v: Array, epsilon: float) -> tuple[Array, Callable[[Array], Array]]:
    """Return numbers with mean 0 and deviation 1, and the adjoint."""
    centred = v - v.mean()
    deviation = np.sqrt((centred**2).mean())

    def back(g: Array) -> Array:
        straight = (g - g.mean()) / (deviation + epsilon)
        return straight - centred * (g * centred).sum() / (v.size * deviation * (deviation + epsilon) ** 2)

    return centred / (deviation + epsilon), back


def maco2023(face: Face, layer: str, seed: Seed, draws: Draws, strengths: Array, size: tuple[int, int], steps: int, views: int) -> Array:
    """``maco.py``: Nadam 1.0 on the phases, boxes that shrink, noise; Xplique's range of 2 is 255 grey levels here."""
    phase = draws.start("maco", strengths.shape)
    m, v, product = np.zeros_like(phase), np.zeros_like(phase), 1.0

    def image() -> tuple[Array, Callable[[Array], Array]]:
        angle, angle_back = standard(phase, 1e-5)
        plane, plane_back = standard(np.fft.irfft2(strengths * np.exp(1j * angle), s=size, norm="ortho"), 1e-5)
        x, colour_back = coloured(plane, XPLIQUE)

        def back(g: Array) -> Array:
            inner = spectrum_of(plane_back(colour_back(g))) * np.sqrt(size[0] * size[1])
            return angle_back(strengths * (np.cos(angle) * inner.imag - np.sin(angle) * inner.real))

        return x, back

    for i in range(steps):
        x, back = image()
        g = np.zeros_like(x)
        for view in range(views):
            seen = boxed(size, face.size, 0.5 + (0.05 - 0.5) * i / (steps - 1), draws.generator("random_crop_resize", i, view=view))
            shown = seen.of(x)
            shown = shown + 0.04 * 255 * draws.generator("normal", i, place=1, view=view).standard_normal(shown.shape)
            shown = shown + 0.02 * 255 * draws.generator("uniform", i, place=1, view=view).uniform(-1, 1, shown.shape)
            g += seen.back(face.gradient(shown, layer, seed), size) / views
        g = back(g)
        now, ahead = (0.9 * (1 - 0.5 * 0.96 ** (0.004 * (i + k))) for k in (1, 2))
        product *= now
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        bar = ahead * m / (1 - product * ahead) + (1 - now) * g / (1 - product)
        phase = phase + bar / (np.sqrt(v / (1 - 0.999 ** (i + 1))) + 1e-7)
    return image()[0]


def boxed(size: tuple[int, int], output: tuple[int, int], part: float, draw: np.random.Generator) -> Seen:
    """A random box of the image, bilinear, with the mean colour outside."""
    y, x = 0.5 + 0.15 * draw.standard_normal(2)
    part = float(np.clip(part + 0.05 * draw.standard_normal(), 0.05, 1))
    rows, columns = grid(*output)
    rows = (y - part / 2) * size[0] + (rows + 0.5) * part * size[0] / output[0] - 0.5
    columns = (x - part / 2) * size[1] + (columns + 0.5) * part * size[1] / output[1] - 0.5
    return then(untouched(size), rows, columns, np.zeros((3, 1, 1)))
