"""A preset's run and how it is compared to a published loop's."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

import dreamopt
from dreamopt.errors import DreamoptWarning
from dreamopt.network import Network
from dreamopt.optimize.result import Progress
from dreamopt.recipes import Settings
from tests.support.published.face import MEAN, Array, Draws, Face

TOP = "loss3/classifier"
"""The classifier's last layer."""
SIZE = (23, 27)
NetAndFace = tuple[Network, Face]


def preset_image(network: Network, target: str, settings: Settings) -> Array:
    """Return the last step's image, (C, H, W), before it is rounded."""
    steps: list[Progress] = []
    with warnings.catch_warnings():
        # Short runs of a published loop may end below their start; what is asked here is whether they are that loop.
        warnings.filterwarnings("ignore", ".* it ended at", DreamoptWarning)
        [one] = dreamopt.render(network, target, settings, callbacks=[lambda progress: steps.append(progress) and None])
    assert one.dead is None
    last = steps[-1]
    return np.asarray(last.images()[0].numpy(), dtype=np.float64)


def require_same(image: Array, published: Array, least_range: float = 5.0) -> float:
    """Hold two images to 1e-4 of the published one's range, and the published one to have changed."""
    assert image.shape == published.shape
    assert np.ptp(published) > least_range
    difference = float(np.abs(image - published).max() / np.ptp(published))
    print(f"difference {difference:.1e} of a range of {np.ptp(published):.0f}")
    assert difference < 1e-4
    return difference


def bgr(path: Path) -> Array:
    return np.moveaxis(np.asarray(Image.open(path), dtype=np.float64)[..., ::-1], -1, 0) - MEAN


def start(noise: float, centre: float | None = None, size: tuple[int, int] = SIZE) -> Array:
    drawn = noise * Draws().start("pixels", (3, *size))
    return drawn if centre is None else drawn + centre - MEAN
