"""Crops of the photographs that ship inside scikit-image; the right third of each is kept for held-out images."""

from __future__ import annotations

from functools import cache

import numpy as np
from skimage import data

from dreamopt.data.textures.fields import Field, f32

# Only files of the wheel itself: the others of skimage.data would be downloaded.
NAMES = ("astronaut", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field", "moon", "rocket")


@cache
def _photo(name: str) -> Field:
    photo = np.asarray(getattr(data, name)(), np.float32) / 255
    return f32(np.repeat(photo[..., None], 3, 2) if photo.ndim == 2 else photo[..., :3])


def crop(rng: np.random.Generator, size: int, held_out: bool, names: tuple[str, ...] = NAMES) -> Field:
    """Return a random crop, (size, size, 3) float32 in 0..1, shrunk by up to what the photograph allows, mirrored half the time."""
    photo = _photo(names[int(rng.integers(len(names)))])
    edge = photo.shape[1] * 2 // 3
    part = photo[:, edge:] if held_out else photo[:, :edge]
    most = min(part.shape[:2])
    side = int(rng.integers(min(size, most), min(most, 3 * size) + 1))
    top, left = (int(rng.integers(n - side + 1)) for n in part.shape[:2])
    steps = (np.arange(size) + 0.5) * side / size
    # Two taps per axis, half a step apart: enough against aliasing at a reduction of three.
    taps = [np.clip((steps + d * side / size).astype(int), 0, side - 1) for d in (-0.25, 0.25)]
    cut = part[top : top + side, left : left + side]
    rows = (cut[taps[0]] + cut[taps[1]]) / 2
    out = (rows[:, taps[0]] + rows[:, taps[1]]) / 2
    return f32(out[:, ::-1] if rng.random() < 0.5 else out)
