"""Which sampled positions an atlas shows: all, those of a class, or those of two classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dreamopt.dataset.sampled_places import Places
from dreamopt.errors import UsageError

STRONGEST = 2000
"""Positions with the largest effects on a class that its atlas shows."""
MOST = 3000
"""Positions of a class's atlas, those of images where it wins among them."""


def of_class(places: Places, class_: int) -> NDArray[np.int64]:
    """Return the positions of a class's atlas, by their numbers, rising.

    Those with the largest effects on its score, up to ``STRONGEST``, and of images where it has the highest score those with the largest
    effects, up to ``MOST`` together; all where there are fewer.

    Raises
    ------
    UsageError
        For a layer on which no class score depends, and a class that the net does not have.
    """
    if places.effects is None or places.winners is None:
        raise UsageError(f"no class score depends on layer '{places.layer}': it has no atlas of a class")
    if not 0 <= class_ < places.effects.shape[1]:
        raise UsageError(f"the net has classes 0 to {places.effects.shape[1] - 1}, not {class_}")
    order = np.argsort(-places.effects[:, class_], kind="stable")
    strongest = order[:STRONGEST]
    winning = order[STRONGEST:]
    winning = winning[places.winners[winning] == class_][: MOST - STRONGEST]
    return np.sort(np.concatenate([strongest, winning])).astype(np.int64)


def of_classes(places: Places, classes: Sequence[int]) -> NDArray[np.int64]:
    """Return the positions of an atlas of several classes, each once: of none all, else those of each."""
    if not classes:
        return np.arange(len(places.vectors))
    return np.unique(np.concatenate([of_class(places, class_) for class_ in classes])).astype(np.int64)
