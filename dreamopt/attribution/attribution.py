"""What a unit answers to in one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.attribution.method import Summary


@dataclass(frozen=True, eq=False)
class Attribution:
    """One image's attribution.

    Parameters
    ----------
    array : ndarray, float32
        (H, W, 3), a value for each value of the image, red, green, blue; (H, W) where the method gives one for each place; of the input's
        own shape where the net takes no images.
    image : ndarray, (H, W, 3), uint8, or None
        The image as the net saw it; None for an input that is none.
    score : float
        The objective's value for the image.
    objective, method : str
        As they print.
    explains : str
        In words, what is explained: whether it is a logit, a probability or another activation, and of which layer.
    label : str or None
        The class, where the objective is one.
    summary : str
        How the array becomes the heat map.
    signed : bool
        Whether values below 0 speak against the unit.
    facts : mapping
        What the method checked of itself.
    settings : mapping
        All that decides the numbers: net, size, seed and so on; fit for JSON.
    """

    array: NDArray[np.float32]
    image: NDArray[np.uint8] | None
    score: float
    objective: str
    method: str
    explains: str
    label: str | None = None
    summary: Summary = "sum"
    signed: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def heat_map(self) -> NDArray[np.float32]:
        """The array summed up over its channels, (H, W)."""
        return heat_map_of(self.array, self.summary) if self.array.ndim == 3 else self.array


def heat_map_of(array: NDArray[np.float32], summary: Summary) -> NDArray[np.float32]:
    """Return one value for each place of an array (H, W, C).

    >>> heat_map_of(np.array([[[3.0, -4.0]]], np.float32), "norm")
    array([[5.]], dtype=float32)
    """
    total: NDArray[np.float64]
    if summary == "abs_max":
        total = np.abs(array).max(2)
    elif summary == "norm":
        total = np.sqrt((array.astype(np.float64) ** 2).sum(2))
    else:
        total = array.sum(2, dtype=np.float64)
        total = np.maximum(total, 0) if summary == "positive_sum" else total
    return total.astype(np.float32)
