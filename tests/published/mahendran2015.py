"""Inversion, Mahendran and Vedaldi 2015."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import dreamopt
from dreamopt.recipes.preset import resolve_settings
from tests.support.published.face import MEAN, Array, Face
from tests.support.published.runs import SIZE, NetAndFace, preset_image, require_same, start


def mahendran2015(
    face: Face,
    layer: str,
    goal: Array,
    start: Array,
    rates: list[float],
    *,
    sigma: float,
    tv: float = 10,
    alpha: float = 6,
    alpha_weight: float = 8e-10,
    momentum: float = 0.9,
) -> Array:
    """``core/invert_nn.m`` with beta = 2: the memory is cleared where the learning rate changes."""
    phi0 = face.forward(goal, layer)
    x, memory, before = start, np.zeros_like(start), None
    for rate in rates:
        if rate != before:
            memory, before = np.zeros_like(x), rate
        inner = face.gradient(x, layer, lambda phi: 2 * (phi - phi0))
        down = np.diff(x, axis=1, append=x[:, -1:])
        right = np.diff(x, axis=2, append=x[:, :, -1:])
        smooth = -down - right
        smooth[:, 1:] += down[:, :-1]
        smooth[:, :, 1:] += right[:, :, :-1]
        slope = tv * smooth + alpha_weight / 2 * alpha * x ** (alpha - 1)
        memory = momentum * memory - rate * slope - rate * sigma**2 / np.sum(phi0**2) * inner
        x = x + memory
    return x


def test_mahendran2015(classifier: NetAndFace, photo: Path) -> None:
    network, face = classifier
    goal = (
        np.moveaxis(np.asarray(dreamopt.image.files.covering(np.asarray(Image.open(photo)), SIZE), dtype=np.float64)[..., ::-1], -1, 0)
        - MEAN
    )
    pieces = "PerValue(Piecewise((0, 8, 15), (4.225, 0.4225, 0.04225)))"
    settings = resolve_settings("mahendran2015", {"steps": 20}, [f"optimizer.step_size={pieces}"])
    image = preset_image(network, f'inversion("tanh2", "{photo}")', settings)
    rates = [1e-3] * 8 + [1e-4] * 7 + [1e-5] * 5
    require_same(image, mahendran2015(face, "tanh2", goal, start(65), rates, sigma=65 * np.sqrt(start(65).size)))
