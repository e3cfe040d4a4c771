"""The recipes of octaves and of windows on a canvas: DeepDream, Oygard's, and Multifaceted Feature Visualization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.restoration import denoise_tv_bregman

from tests.published.face import MEAN, Array, Draws, Face, Seed, clipped


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


@dataclass(frozen=True)
class Stage:
    """A row of the octave tables; ``sigmas`` of Oygard's blur or ``weights`` of MFV's denoising, from first towards last."""

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
