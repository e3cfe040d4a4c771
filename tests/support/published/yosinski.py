"""The loop of Yosinski et al., whose four presets differ in its numbers."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tests.support.published.face import Array, Face, Seed, clipped


def yosinski2015(
    face: Face,
    layer: str,
    seed: Seed,
    start: Array,
    iterations: int,
    *,
    decay: float = 0,
    sigma: float = 0,
    every: int = 0,
    norm_percent: float = 0,
    benefit_percent: float = 0,
    rate: float = 0,
    desired: float | None = None,
) -> Array:
    """``optimize/gradient_optimizer.py``: policy "progress" where ``desired`` is given, with ``rate`` as the most."""
    x = start
    for i in range(iterations):
        x = clipped(x)
        g = face.gradient(x, layer, seed)
        if i == iterations - 1:
            break
        x = x + (rate if desired is None else min(rate, desired / np.sum(g * g))) * g
        x = (1 - decay) * x
        if every and i % every == 0:
            x = np.stack([ndimage.gaussian_filter(plane, sigma) for plane in x])
        if norm_percent:
            norms = np.sqrt(np.sum(x * x, 0))
            x = x * (norms >= np.percentile(norms, norm_percent))
        if benefit_percent:
            benefit = np.abs(np.sum(g * -x, 0))
            x = x * (benefit >= np.percentile(benefit, benefit_percent))
    return x
