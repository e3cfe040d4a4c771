"""Trials that are known from the start: equal distances, or places drawn by chance."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import prod

import numpy as np

from dreamopt.study.axis import Axis
from dreamopt.study.request import Trial

_TRIES = 200


def grid_points(axes: Sequence[Axis], count: int, seed: int) -> list[Trial]:
    """Return so many trials that fill the ranges evenly, both ends among them.

    Of one axis it is the grid; of listed values the whole table, where it is no larger; else each axis is cut into ``count`` equal parts,
    and each part is tried once (a Latin hypercube), of several draws the one whose trials lie furthest apart.

    Parameters
    ----------
    axes : sequence of Axis
        What is tuned.
    count : int
        Trials; fewer where an axis has no more values.
    seed : int
        Of the study: contestants with as many axes try the same places of their ranges.

    Examples
    --------
    >>> [trial["optimizer.step_size"] for trial in grid_points([Axis("optimizer.step_size", 0.5, 8)], 5, 0)]
    [0.5, 1.0, 2.0, 4.0, 8.0]
    """
    if len(axes) == 1:
        return [{axes[0].name: value} for value in axes[0].grid(count)]
    if all(axis.values for axis in axes) and prod(len(axis.values) for axis in axes) <= count:
        return [dict(zip((axis.name for axis in axes), values, strict=True)) for values in itertools.product(*(a.values for a in axes))]
    rng = np.random.default_rng((seed, 2))
    places = np.linspace(0, 1, count) if count > 1 else np.array([0.5])
    best, furthest = np.empty((count, len(axes))), -1.0
    for _ in range(_TRIES):
        drawn = np.stack([rng.permutation(places) for _ in axes], axis=1)
        apart = np.linalg.norm(drawn[:, None] - drawn[None], axis=-1)[np.triu_indices(count, 1)]
        nearest = float(apart.min()) if count > 1 else 0.0
        if nearest > furthest:
            best, furthest = drawn, nearest
    return _trials(axes, best)


def random_points(axes: Sequence[Axis], count: int, seed: int) -> list[Trial]:
    """Return so many trials drawn by chance, evenly over the ranges.

    >>> len(random_points([Axis("views", values=(1, 2))], 5, 0)) <= 2
    True
    """
    rng = np.random.default_rng((seed, 3))
    trials: list[Trial] = []
    for _ in range(count * 20):
        [trial] = _trials(axes, rng.random((1, len(axes))))
        if len(trials) < count and trial not in trials:
            trials.append(trial)
    return trials


def _trials(axes: Sequence[Axis], places: np.ndarray) -> list[Trial]:
    trials: list[Trial] = [{axis.name: axis.at(float(place)) for axis, place in zip(axes, row, strict=True)} for row in places]
    return [trial for number, trial in enumerate(trials) if trial not in trials[:number]]
