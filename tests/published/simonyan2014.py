"""Class model visualisation, Simonyan et al. 2014."""

from __future__ import annotations

import numpy as np

from dreamopt.recipes.preset import resolve_settings
from tests.support.published.face import Array, Face, Seed, one_hot
from tests.support.published.runs import TOP, NetAndFace, preset_image, require_same


def simonyan2014(face: Face, layer: str, seed: Seed, steps: int, rate: float, weight: float) -> Array:
    """argmax S(x) - weight ||x||^2 by gradient ascent from the zero image."""
    x = np.zeros((3, *face.size))
    for _ in range(steps):
        x = x + rate * (face.gradient(x, layer, seed) - 2 * weight * x)
    return x


def test_simonyan2014(classifier: NetAndFace) -> None:
    network, face = classifier
    image = preset_image(network, f"{TOP}:3", resolve_settings("simonyan2014", {"steps": 20}))
    require_same(image, simonyan2014(face, TOP, one_hot(3), 20, rate=100, weight=1e-4))
