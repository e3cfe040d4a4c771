"""MaCo, Fel et al. 2023, as Xplique computes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dreamopt.recipes.preset import resolve_settings
from tests.support.published.face import Array, Draws, Face, Seed, one_hot
from tests.support.published.runs import TOP, NetAndFace, preset_image, require_same
from tests.support.published.spectra import Seen, coloured, grid, spectrum_of, then, untouched

XPLIQUE = np.array([[0.56282854, 0.58447580, 0.58447580], [0.19482528, 0.0, -0.19482528], [0.04329450, -0.10823626, 0.06494176]]).T


def standard(v: Array, epsilon: float) -> tuple[Array, Callable[[Array], Array]]:
    """Return numbers with mean 0 and deviation 1, and the adjoint."""
    centred = v - v.mean()
    deviation = np.sqrt((centred**2).mean())

    def back(g: Array) -> Array:
        straight = (g - g.mean()) / (deviation + epsilon)
        return straight - centred * (g * centred).sum() / (v.size * deviation * (deviation + epsilon) ** 2)

    return centred / (deviation + epsilon), back


def boxed(size: tuple[int, int], output: tuple[int, int], part: float, draw: np.random.Generator) -> Seen:
    """A random box of the image, bilinear, with the mean colour outside."""
    y, x = 0.5 + 0.15 * draw.standard_normal(2)
    part = float(np.clip(part + 0.05 * draw.standard_normal(), 0.05, 1))
    rows, columns = grid(*output)
    rows = (y - part / 2) * size[0] + (rows + 0.5) * part * size[0] / output[0] - 0.5
    columns = (x - part / 2) * size[1] + (columns + 0.5) * part * size[1] / output[1] - 0.5
    return then(untouched(size), rows, columns, np.zeros((3, 1, 1)))


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


def test_maco2023(classifier: NetAndFace, folder: Path) -> None:
    network, face = classifier
    size = (41, 47)
    f = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))
    strengths = np.stack([k / np.maximum(f, 1 / 47) for k in (3.0, 1.0, 0.5)])
    # A standardised plane has no mean: the gradient of frequency 0 is rounding noise, and Nadam divides by a gradient's size.
    strengths[:, 0, 0] = 0
    np.save(folder / "strengths.npy", strengths)
    settings = resolve_settings("maco2023", {"steps": 20, "size": size, "views": 3}, [f"maco.pictures={folder / 'strengths.npy'}"])
    image = preset_image(network, f"{TOP}:0", settings)
    require_same(image, maco2023(face, TOP, one_hot(0), Draws(), strengths, size, 20, 3))
