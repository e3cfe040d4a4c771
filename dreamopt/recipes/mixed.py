"""Targets of different layers in one batch, where a pass up to the deepest of them costs less than a pass for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dreamopt.network import Network
from dreamopt.recipes.batch_size import Rates

PAYS = 0.95
"""Of the time of separate batches: what a joined one must take at the most, so that it surely pays."""


@dataclass(frozen=True)
class Group:
    """Samples that are optimized together.

    Parameters
    ----------
    places : tuple of int
        Of the samples in the plan.
    work : float
        Multiply-adds of one sample up to the deepest of its layers.
    """

    places: tuple[int, ...]
    work: float


def work_of(network: Network, layers: Sequence[str]) -> float:
    """Return the multiply-adds of a sample up to some layers, at the size in the net's file: for comparing layers."""
    graph = network.graph
    return float(sum(getattr(graph.layers[i], "flops", 0) for i in graph.below(list(layers))))


def relative_seconds(rates: Rates) -> Callable[[int], float]:
    """Return what tells how long a step of so many images takes, in steps of one image; between measured sizes on a straight line.

    >>> relative_seconds(Rates({1: 10.0, 2: 16.0, 4: 20.0}))(3)
    1.625
    """
    known = sorted((count, count / rate) for count, rate in rates.rates.items())
    (_, one), (most, longest) = known[0], known[-1]

    def seconds(count: int) -> float:
        if count >= most:
            return longest / one * count / most
        (low, of_low), (high, of_high) = next(pair for pair in pairwise(known) if pair[0][0] <= count < pair[1][0])
        return (of_low + (of_high - of_low) * (count - low) / (high - low)) / one

    return seconds


def joined(groups: Sequence[Group], size: int, seconds: Callable[[int], float]) -> list[Group]:
    """Return groups of which those of neighbouring layers are joined, up to ``size`` samples, where that takes at most 0.95 of the time.

    In a joined group a shallow sample pays for the depth of the deepest; what it gains is that more pass at once.

    Examples
    --------
    >>> groups = [Group((0,), 4.0), Group((1,), 4.2), Group((2,), 1.0)]
    >>> joined(groups, 8, lambda count: 0.5 + 0.5 * count)  # half of a step of one image does not grow with the batch
    [Group(places=(0, 1), work=4.2), Group(places=(2,), work=1.0)]
    """
    made: list[Group] = []
    for group in sorted(groups, key=lambda group: (-group.work, group.places)):
        deeper = made[-1] if made else None
        if deeper is not None and len(deeper.places) + len(group.places) <= size:
            together = deeper.work * seconds(len(deeper.places) + len(group.places))
            apart = deeper.work * seconds(len(deeper.places)) + group.work * seconds(len(group.places))
            if together <= PAYS * apart:
                made[-1] = Group(tuple(sorted((*deeper.places, *group.places))), deeper.work)
                continue
        made.append(group)
    return sorted(made, key=lambda group: group.places)
