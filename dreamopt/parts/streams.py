"""Random streams: numbers that belong to one sample at one step, whatever else is in the batch.

Each draw is named by (seed, item, step, purpose); the generator made from that name is numpy's counter-based Philox, so
nothing has to be carried along: a run can be interrupted anywhere, and sample i of a batch draws what it would draw alone. Numbers
are drawn on the CPU, so every device gets the same ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Stream:
    """The random numbers of one sample at one step.

    Parameters
    ----------
    seed : int
        The run's seed, at least 0.
    item : int
        The sample's number in the whole job; a sample rendered alone keeps its number.
    step : int
        Number of the step, from 0.
    branch : tuple of int
        Tells apart draws of one sample at one step: the view (of several that are averaged), the transform's place in the list.
    """

    seed: int
    item: int
    step: int = 0
    branch: tuple[int, ...] = ()

    def fold_in(self, *branch: int) -> Stream:
        """Return a stream whose numbers have nothing to do with this one's; zeros give the stream itself.

        >>> Stream(0, 3).fold_in(0, 0) == Stream(0, 3), Stream(0, 3).fold_in(1, 0).branch
        (True, (1, 0))
        """
        return replace(self, branch=(*self.branch, *branch)) if any(branch) else self

    def generator(self, purpose: str) -> np.random.Generator:
        """Return a fresh generator for ``purpose``; the same name always gives the same numbers.

        >>> Stream(0, 3).integers("jitter", -8, 8, 4) == Stream(0, 3).integers("jitter", -8, 8, 4)
        True
        """
        # hash() of a string changes from one Python process to the next; crc32 does not.
        entropy = (self.seed, self.item, self.step, zlib.crc32(purpose.encode()), *self.branch)
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))

    def normal(self, purpose: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return standard normal numbers of ``shape`` with the dtype and device of ``like``."""
        values = self.generator(purpose).standard_normal(tuple(shape))
        return torch.from_numpy(values).to(dtype=like.dtype, device=like.device)

    def uniform(self, purpose: str, low: float, high: float, count: int) -> list[float]:
        """Return ``count`` numbers drawn evenly from ``low`` to below ``high``."""
        return [float(v) for v in self.generator(purpose).uniform(low, high, size=count)]

    def integers(self, purpose: str, low: int, high: int, count: int) -> list[int]:
        """Return ``count`` integers, each drawn evenly from ``low`` to ``high``, both included."""
        return [int(v) for v in self.generator(purpose).integers(low, high, size=count, endpoint=True)]


def streams(seed: int, items: Sequence[int], step: int = 0) -> list[Stream]:
    """Return one stream for each sample of a batch at one step."""
    return [Stream(seed, item, step) for item in items]
