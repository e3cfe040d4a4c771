"""Many versions of each image (noisy, between two images) through the net, in passes of bounded size, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dreamopt.attribution.score import ScoreFunction
from dreamopt.parts.checks import Range

MOST_COPIES = 1_000_000
"""The most copies of an image for each of which a method has numbers from the beginning to the end."""
COPIES = Range(1, MOST_COPIES)


def batches_of_copies(
    score: ScoreFunction, images: Tensor, copies: int, make: Callable[[int], Tensor]
) -> Iterator[tuple[Sequence[int], Tensor]]:
    """Yield the numbers of some copies, and these copies of each image side by side, as many as pass through the net at once.

    Parameters
    ----------
    score : ScoreFunction
        Says how many images pass at once.
    images : Tensor
        (N, ...), for their number.
    copies : int
        How many there are of each.
    make : callable
        Returns copy number k of all images, (N, ...). It is called once for each, in order.
    """
    for numbers in score.parts(len(images), copies):
        yield numbers, torch.stack([make(k) for k in numbers], 1).flatten(0, 1)


def by_image(values: Tensor, copies: int) -> tuple[Tensor, ...]:
    """Return each copy's values, (N, ...), of a batch (N copies, ...) with all copies of an image side by side."""
    return values.reshape(-1, copies, *values.shape[1:]).unbind(1)


class Moments:
    """The mean and the variance of the copies of each image, of which no more than a pass is held at once (Welford 1962)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = self._squares = torch.zeros(())

    def add(self, values: Tensor, copies: int) -> None:
        """Take in the values of so many copies of each image, (N copies, ...), side by side."""
        for value in by_image(values, copies):
            if not self.count:
                self._mean, self._squares = torch.zeros_like(value), torch.zeros_like(value)
            self.count += 1
            away = value - self._mean
            self._mean = self._mean + away / self.count
            self._squares = self._squares + away * (value - self._mean)

    @property
    def mean(self) -> Tensor:
        """The mean of each image's copies, (N, ...)."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """The mean squared distance from the mean, (N, ...)."""
        return self._squares / self.count


class CommonFacts:
    """The facts in which all copies of an image agree, as the layer that a method read."""

    def __init__(self, images: int) -> None:
        self._images = images
        self._values: dict[str, list[list[Any]]] = {}

    def add(self, facts: Mapping[str, Sequence[Any]], copies: int) -> None:
        """Take in the facts of so many copies of each image, side by side."""
        for name, values in facts.items():
            known = self._values.setdefault(name, [[] for _ in range(self._images)])
            for i, value in enumerate(values):
                if value not in known[i // copies]:
                    known[i // copies].append(value)

    def facts(self) -> dict[str, list[Any]]:
        """Return them by name, one value for each image."""
        return {name: [values[0] for values in all_] for name, all_ in self._values.items() if all(len(values) == 1 for values in all_)}
