"""Images by class name and number."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dreamopt.data.textures import patterns
from dreamopt.data.textures.sketch import Pattern, Sketch

_PATTERNS: dict[str, Pattern] = {
    name: function
    for name, function in vars(patterns).items()
    if inspect.isfunction(function) and function.__module__ == patterns.__name__ and not name.startswith("_")
}
CLASSES: tuple[str, ...] = tuple(sorted(_PATTERNS))


def texture_image(name: str, index: int, seed: int = 0, *, size: int = 96, held_out: bool = False) -> NDArray[np.uint8]:
    """Make the ``index``-th image of a class.

    Parameters
    ----------
    name : str
        One of `CLASSES`.
    index, seed : int
        Which image, of which series; both >= 0.
    size : int
        Side in pixels.
    held_out : bool
        Take photographs, whole or in backgrounds, from the part that training never sees, and use another random series.

    Returns
    -------
    (size, size, 3) uint8
        RGB.
    """
    rng = np.random.default_rng([seed, CLASSES.index(name), index, int(held_out)])
    sketch = Sketch(rng, size, held_out)
    _PATTERNS[name](sketch)
    return sketch.finish().astype(np.uint8)


def batch(labels: Sequence[int], first: int, seed: int = 0, *, size: int = 96, held_out: bool = False) -> NDArray[np.uint8]:
    """Make one image per class number, numbered from ``first`` on; (len(labels), size, size, 3) uint8 RGB."""
    images = [texture_image(CLASSES[k], first + n, seed, size=size, held_out=held_out) for n, k in enumerate(labels)]
    return np.stack(images)
