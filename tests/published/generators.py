"""DGN-AM: the code of a generator net is searched."""

from __future__ import annotations

import numpy as np

from tests.published.face import Array, Face, Seed


def nguyen2016_dgn(
    generator: Face,
    output: str,
    face: Face,
    layer: str,
    seed: Seed,
    code: Array,
    upper: Array | None,
    *,
    steps: int,
    first: float,
    last: float,
) -> Array:
    """``act_max.py``: the gradient is divided by its mean size at the image, and again at the code."""
    height, width = face.size
    decay = 0.99

    def picture() -> tuple[Array, tuple[slice, ...]]:
        made = generator.forward(code, output)[0]
        top, left = (made.shape[1] - height) // 2, (made.shape[2] - width) // 2
        window = (slice(None), slice(top, top + height), slice(left, left + width))
        return made, window

    for i in range(steps):
        rate = first + (last - first) * i / steps
        made, window = picture()
        g = face.gradient(made[window], layer, seed)
        diff = np.zeros_like(made)
        diff[window] = rate / np.abs(g).mean() * g
        g = generator.backward(output, diff[None])
        code = code + rate / np.abs(g).mean() * g
        if upper is not None:
            code = np.clip(code, 0, upper)
        code = code * decay
    made, window = picture()
    return made[window]
