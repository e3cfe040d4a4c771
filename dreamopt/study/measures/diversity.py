"""How different the images of one unit are that started from different seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dreamopt.objective import spatial_columns
from dreamopt.parts.checks import Range
from dreamopt.parts.streams import Stream
from dreamopt.study.classes import class_of, mixed_from
from dreamopt.study.measure import LONGEST_VECTOR, Better, Finished, SeedsMeasure
from dreamopt.study.scores import activations_of_image

SEED = 0x44495645
"""Names the draws of the projection."""


@dataclass(frozen=True)
class Diversity(SeedsMeasure):
    r"""One less the mean cosine between the Gram matrices of each two images of the unit.

    .. math:: 1 - \frac{2}{B (B - 1)} \sum_{m < n} \frac{\langle G_m, G_n \rangle}{\lVert G_m \rVert \lVert G_n \rVert},
        \qquad G_n = A_n A_n^T

    A (C, P) are the activations of a layer, a column for each place: the unit's own layer where it has places, of a class the deepest layer
    with places below the classifier. It compares which features occur together in an image, and not where. Where no layer has places, or
    the classifier reads the image itself, A is the layer's vector, or the image, and stands in the place of G. A matrix, or vector, of more
    than 1024 different numbers is projected to 1024 by adding its numbers, each with a drawn sign, in drawn groups (a count sketch, the
    same for all images); the distance keeps its expectation, and is off by some 4 % of itself.

    0: the images are alike; with few seeds compare contestants only on the same units. It can be raised by mere noise: look at it beside
    `HeldOut`. It is no better higher or lower: facets may be wanted, or one clear image.

    References
    ----------
    .. [1] Olah, Mordvintsev, Schubert, "Feature Visualization", 2017, on diversity.
    .. [2] Charikar, Chen, Farach-Colton, "Finding frequent items in data streams", 2002.

    Examples
    --------
    >>> Diversity().compare([np.array([1.0, 0.0]), np.array([2.0, 0.0]), np.array([0.0, 3.0])])
    0.6666666666666667
    """

    examples: ClassVar = ("diversity",)
    better: ClassVar[Better] = "neither"
    range: ClassVar = Range(0, 2)

    def features(self, finished: Finished) -> NDArray[np.float64]:
        """Return the Gram matrix's different numbers, at length 1, projected where there are too many."""
        layer = compared_layer(finished)
        seen = finished.image if layer is None else activations_of_image(finished, (layer,))[layer]
        columns = spatial_columns(seen)[0].double().cpu().numpy()
        vector: NDArray[np.float64]
        if layer is None or columns.shape[1] == 1:
            vector = columns.ravel()
        else:
            rows, places = np.triu_indices(len(columns))
            vector = (columns @ columns.T)[rows, places] * np.where(rows == places, 1.0, np.sqrt(2))
        return np.round(projected(_at_length_1(vector)), 7)  # which is short in a file

    def compare(self, vectors: Sequence[NDArray[np.float64]]) -> float:
        """Return one less the mean cosine of pairs; two vectors of zeros are alike."""
        units = [_at_length_1(np.asarray(vector, dtype=np.float64)) for vector in vectors]
        cosines = [float(a @ b) if a.any() or b.any() else 1.0 for a, b in combinations(units, 2)]
        return min(max(1 - float(np.mean(cosines)), 0.0), 2.0)


def compared_layer(finished: Finished) -> str | None:
    """Return the layer whose activations are compared; None for the image itself."""
    network, unit = finished.network, class_of(finished.network, finished.objective)
    graph, size = network.graph, tuple(finished.image.shape[2:]) or None
    first = max(graph.value(layer) for layer in finished.objective.layers)
    first = first if unit is None else mixed_from(network, first)
    value = first
    while graph.reads[value[0]] and prod(network.shape_of(graph.name(*value), size)[1:]) == 1:
        value = graph.reads[value[0]][0]
    if graph.reads[value[0]]:
        return graph.name(*value)
    return graph.name(*first) if graph.reads[first[0]] else None


def projected(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a vector of at most `LONGEST_VECTOR` numbers whose lengths and angles are those of the vectors given, in expectation.

    >>> len(projected(np.ones(5))), len(projected(np.ones(5000)))
    (5, 1024)
    """
    if len(vector) <= LONGEST_VECTOR:
        return vector
    random = Stream(SEED, len(vector)).generator("diversity")
    groups, signs = random.integers(0, LONGEST_VECTOR, len(vector)), random.integers(0, 2, len(vector)) * 2 - 1
    sums: NDArray[np.float64] = np.bincount(groups, weights=signs * vector, minlength=LONGEST_VECTOR).astype(np.float64)
    return sums


def _at_length_1(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
