"""Whether maps change when the net's weights do: cascading randomization, from the top layer down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from skimage.metrics import structural_similarity
from torch import Tensor

from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.parts.streams import Stream
from dreamopt.statistics import json_number

THRESHOLD = 0.5
"""A rank correlation from which on a map counts as the same: it is named as one that ignores what was re-drawn."""
_STATISTICS = ("BatchNorm",)


@dataclass(frozen=True)
class Similarity:
    """How alike two maps are: 1 for equal ones, about 0 for maps that have nothing to do with each other.

    Parameters
    ----------
    rank_abs, rank : float
        Spearman's rank correlation of the absolute values, and of the values.
    ssim : float
        Structural similarity of the maps, each divided by its largest absolute value.
    """

    rank_abs: float
    rank: float
    ssim: float

    def describe(self) -> dict[str, Any]:
        """Return the numbers, fit for JSON."""
        return {name: json_number(value) for name, value in vars(self).items()}


def similarity(first: NDArray[np.float64], second: NDArray[np.float64]) -> Similarity | None:
    """Return how alike two maps (H, W) are; None where either is the same everywhere, as where a unit is dead after randomization.

    References
    ----------
    .. [1] J. Adebayo et al., "Sanity Checks for Saliency Maps", 2018, section 3.

    Examples
    --------
    >>> ramp = np.arange(63.0).reshape(7, 9) - 31
    >>> one = similarity(ramp, -ramp)
    >>> round(one.rank_abs, 3), round(one.rank, 3), one.ssim < 0.5
    (1.0, -1.0, True)
    """
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    scaled = [one / np.abs(one).max() for one in (first, second)]
    side = min(7, *(n - 1 + n % 2 for n in first.shape))
    ssim = structural_similarity(*scaled, win_size=side, data_range=2.0) if side >= 3 else math.nan
    return Similarity(_ranks(np.abs(first), np.abs(second)), _ranks(first, second), float(ssim))


def _ranks(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    a, b = (stats.rankdata(one, axis=None) for one in (first, second))
    a, b = a - a.mean(), b - b.mean()
    length = math.sqrt((a @ a) * (b @ b))
    return float(a @ b) / length if length else 0.0


def mean_similarity(found: Sequence[Similarity | None]) -> Similarity | None:
    """Return the mean of those that are known; None where none is."""
    known = [one for one in found if one is not None]
    if not known:
        return None
    ssim = [one.ssim for one in known if not math.isnan(one.ssim)]
    return Similarity(
        float(np.mean([one.rank_abs for one in known])),
        float(np.mean([one.rank for one in known])),
        float(np.mean(ssim)) if ssim else math.nan,
    )


def layers_from_the_top(network: Network, layers: Sequence[str]) -> list[str]:
    """Return the layers with weights that some layers depend on, from the top down; not BatchNorms: they hold statistics of the data."""
    graph = network.graph
    needed: set[int] = set()
    waiting = [graph.value(network.resolve(layer))[0] for layer in layers]
    while waiting:
        number = waiting.pop()
        if number not in needed:
            needed.add(number)
            waiting += [maker for maker, _ in graph.reads[number]]
    return [
        info.name for i, info in reversed(list(enumerate(network.layers))) if i in needed and info.params and info.type not in _STATISTICS
    ]


def layers_of_score(network: Network, objective: Objective, images: Tensor, layers: Sequence[str]) -> list[str]:
    """Return those of some layers whose weights a score of images (N, C, H, W) depends on; all of them where it depends on none.

    Below a Concat, a channel depends on one branch: to draw the weights of the others anew would say nothing of any method.
    """
    found = set[str]()
    for i in range(len(images)):
        gradients = _weight_gradients(network, objective.item(i), images[i : i + 1])
        found |= {layer for layer in layers if any(bool((one != 0).any()) for one in gradients.get(layer, ()))}
    return [layer for layer in layers if layer in found] or list(layers)


def _weight_gradients(network: Network, objective: Objective, image: Tensor) -> dict[str, list[Tensor]]:
    return network.weight_gradients(image, objective.layers, lambda values: objective(values).sum())


def cuts(count: int) -> list[tuple[str, int]]:
    """Return how many layers, from the top, are re-drawn at each stage; stages that would be the same come once.

    >>> cuts(26), cuts(2), cuts(1)
    ([('top', 1), ('half', 13), ('all', 26)], [('top', 1), ('all', 2)], [('all', 1)])
    """
    stages = [("top", 1), ("half", count // 2)]
    found = {number: name for name, number in reversed(stages) if 0 < number < count}
    return [*((name, number) for number, name in sorted(found.items())), *([("all", count)] if count else [])]


def redrawn(network: Network, layers: Sequence[str], seed: int, draw: int) -> Network:
    r"""Return a copy of a net in which layers have random weights; the net itself stays as it is.

    .. math:: w \sim \mathcal N \Bigl(0, \tfrac1n \sum_i w_i^2\Bigr)

    for each of a layer's weights and biases: the numbers keep their size, so that activations do, and lose all that was learned.

    Raises
    ------
    UsageError
        For a backend that cannot copy a net.
    """
    weights = network.weights()
    drawn = {}
    for layer in layers:
        random = [Stream(seed, draw).generator(f"weights {layer} {k}") for k in range(len(weights[layer]))]
        drawn[layer] = [
            one.normal(0, math.sqrt(float(np.mean(np.square(blob, dtype=np.float64)))) if blob.size else 0, blob.shape).astype(np.float32)
            for one, blob in zip(random, weights[layer], strict=True)
        ]
    return network.with_weights(drawn)
