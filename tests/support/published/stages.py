"""The loop of octaves on windows of an image, which Øygard's recipes and Multifaceted Feature Visualization share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.restoration import denoise_tv_bregman

from tests.support.published.face import MEAN, Array, Draws, Face, Seed, clipped


@dataclass(frozen=True)
class Stage:
    """A row of the octave tables; ``sigmas`` of Øygard's blur or ``weights`` of MFV's denoising, from first towards last."""

    layer: str
    seed: Seed
    steps: int
    step: tuple[float, float]
    sigmas: tuple[float, float] | None = None
    weights: tuple[float, float] | None = None
    zoom: float = 1
    window: float = 0.3
    margin: int = 0


def stages(face: Face, start: Array, table: Sequence[Stage], draws: Draws) -> Array:
    """``deepdraw.ipynb`` and ``act_max_tvd.py``: each step is made on a window of the net's size, and pasted back."""
    size, space = face.size, start
    for number, row in enumerate(table):
        if row.zoom != 1:
            space = ndimage.zoom(space, (1, row.zoom, row.zoom))
        for i in range(row.steps):
            normal = draws.generator("normal_crop", i, octave=number).standard_normal(2)
            spare = np.array(space.shape[1:]) - size
            top, left = (int(v) for v in np.clip(spare / 2 + row.window * spare * normal, 0, spare))
            seen = space[:, top : top + size[0], left : left + size[1]]
            g = face.gradient(seen, row.layer, row.seed)
            if row.margin:
                inside = np.zeros(size)
                inside[row.margin : -row.margin, row.margin : -row.margin] = 1
                g = g * inside
            step = row.step[0] + (row.step[1] - row.step[0]) * i / row.steps
            seen = clipped(seen + step / np.abs(g).mean() * g)
            if row.sigmas is not None:
                sigma = row.sigmas[0] + (row.sigmas[1] - row.sigmas[0]) * i / row.steps
                seen = np.stack([ndimage.gaussian_filter(plane, sigma) for plane in seen])
            if row.weights is not None:
                s, e = row.weights
                picture = np.ascontiguousarray(np.moveaxis(seen + MEAN, 0, -1))
                picture = denoise_tv_bregman(picture, weight=s - (s - e * i) / row.steps, max_num_iter=100, eps=1e-3)
                seen = np.moveaxis(picture, -1, 0) - MEAN
            space = space.copy()
            space[:, top : top + size[0], left : left + size[1]] = seen
    return space


def filters(seed: Callable[[Array], Array], factor: float, last: float) -> list[Stage]:
    rows: list[tuple[tuple[float, float], tuple[float, float], float]] = [
        ((12, 10), (2.5, 1.1), 1),
        ((10, 8), (1.1, 0.858), 1),
        ((8, 6), (0.858, 0.78), 1.05),
        ((6, 1.5), (0.858, 0.40), 1.05),
        ((1.5, 0.5), (0.4, last), 1.05),
    ]
    return [Stage("conv2", seed, 4, (factor * a, factor * b), sigmas, zoom=zoom) for (a, b), sigmas, zoom in rows]
