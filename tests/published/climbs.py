"""The recipes that search the pixels of one image of the net's own size."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tests.published.face import Array, Face, Seed, clipped


def simonyan2014(face: Face, layer: str, seed: Seed, steps: int, rate: float, weight: float) -> Array:
    """argmax S(x) - weight ||x||^2 by gradient ascent from the zero image."""
    x = np.zeros((3, *face.size))
    for _ in range(steps):
        x = x + rate * (face.gradient(x, layer, seed) - 2 * weight * x)
    return x


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
