"""Feature Visualization (Lucid), Olah et al. 2017."""

from __future__ import annotations

import numpy as np

from dreamopt.recipes.preset import resolve_settings
from tests.support.published.face import Array, Draws, Face, Seed, mean_of_channel
from tests.support.published.runs import NetAndFace, preset_image, require_same
from tests.support.published.spectra import BLACK, GREY, Seen, coloured, cut, jittered, spectrum_of, turned, untouched

LUCID = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


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


def test_lucid2017(convolutional: NetAndFace) -> None:
    network, face = convolutional
    image = preset_image(network, "conv2:1", resolve_settings("lucid2017", {"steps": 20, "size": (32, 38)}))
    require_same(image, lucid2017(face, "conv2", mean_of_channel(1), Draws(), (32, 38), 20))
