"""DeepDream, Mordvintsev et al. 2015."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from dreamopt.recipes.preset import resolve_settings
from tests.support.published.face import Array, Draws, Face, clipped
from tests.support.published.runs import NetAndFace, bgr, preset_image, require_same


def deepdream2015(
    face: Face,
    layer: str,
    photo: Array,
    draws: Draws,
    *,
    steps: int,
    octaves: int = 4,
    scale: float = 1.4,
    jitter: int = 32,
    step: float = 1.5,
) -> Array:
    """``dream.ipynb``: make_step and deepdream, with the objective whose gradient is the activation itself."""
    bases = [photo]
    for _ in range(octaves - 1):
        bases.append(ndimage.zoom(bases[-1], (1, 1 / scale, 1 / scale), order=1))
    detail = np.zeros_like(bases[-1])
    for octave, base in enumerate(reversed(bases)):
        height, width = base.shape[1:]
        if octave:
            detail = ndimage.zoom(detail, (1, height / detail.shape[1], width / detail.shape[2]), order=1)
        x = base + detail
        for i in range(steps):
            down, right = draws.generator("jitter", i, octave=octave).integers(-jitter, jitter, size=2, endpoint=True)
            x = np.roll(x, (down, right), (1, 2))
            g = face.gradient(x, layer, lambda a: a)
            x = x + step / np.abs(g).mean() * g
            x = clipped(np.roll(x, (-down, -right), (1, 2)))
        detail = x - base
    return x


def test_deepdream2015(convolutional: NetAndFace, photo: Path) -> None:
    network, face = convolutional
    image = preset_image(network, "conv2", resolve_settings("deepdream2015", {"steps": 5, "init": str(photo)}))
    assert image.shape == (3, 53, 61)
    require_same(image, deepdream2015(face, "conv2", bgr(photo), Draws(), steps=5))


def test_deepdream2015_of_the_embedded_net(embedded: NetAndFace, photo: Path) -> None:
    network, face = embedded
    # Four steps: in the fifth, two values of a pooling window differ by rounding alone (1.8e-6, then 1e-3; without native kernels 4e-7).
    image = preset_image(network, "mixed3", resolve_settings("deepdream2015", {"steps": 4, "init": str(photo)}))
    require_same(image, deepdream2015(face, "mixed3", bgr(photo), Draws(), steps=4))
