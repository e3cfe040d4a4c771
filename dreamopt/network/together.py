"""How many samples pass through a net at once: as many as there are, and half of them wherever memory has run out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from dreamopt.errors import DreamoptWarning, OutOfMemoryError
from dreamopt.parts.memory import release_memory

T = TypeVar("T")
Key = tuple[tuple[str, ...], tuple[int, ...]]


PIXELS = 1 << 19
"""Of the images that pass at once on a CPU: ten of 224 x 224. More are no faster, and what a pass holds grows with them."""


class Together:
    """The most samples that pass at once, by the layers that are read and the size of the images.

    Parameters
    ----------
    pixels : int, optional
        How many the images of a pass may have together; a single one may have more. Without it there is no bound while memory suffices.

    Examples
    --------
    >>> together = Together()
    >>> together.limit(["conv4"], (640, 480), 4)
    >>> together.parts(["conv4"], (640, 480), 9)
    [range(0, 3), range(3, 6), range(6, 9)]
    """

    def __init__(self, pixels: int | None = None) -> None:
        self._pixels = pixels
        self._most: dict[Key, int] = {}

    def most(self, layers: Sequence[str], size: Sequence[int]) -> int | None:
        """Return the most samples that pass at once; None for any number."""
        known = self._most.get((tuple(layers), tuple(size)))
        if self._pixels is None or len(size) < 2:
            return known
        bound = max(1, self._pixels // max(1, math.prod(size[-2:])))
        return bound if known is None else min(known, bound)

    def is_limited(self, layers: Sequence[str], size: Sequence[int]) -> bool:
        """Whether memory has run out, or somebody has said a limit."""
        return (tuple(layers), tuple(size)) in self._most

    def limit(self, layers: Sequence[str], size: Sequence[int], most: int) -> None:
        """Let no more than ``most`` samples pass at once, at least 1; a smaller number that is known stays."""
        known = self.most(layers, size)
        self._most[tuple(layers), tuple(size)] = max(1, most if known is None else min(known, most))

    def halve(self, layers: Sequence[str], size: Sequence[int], count: int, least: int = 1) -> bool:
        """Let half of ``count`` samples pass at once after memory ran out with them; False where no fewer than ``least`` can."""
        known = self.most(layers, size)
        now = count if known is None else min(known, count)
        half = max(least, -(-now // 2))
        if half >= now:
            return False
        self._most[tuple(layers), tuple(size)] = half
        # The step that failed has let go of its values: its error keeps no frames.
        release_memory(reserves=True)
        warnings.warn(f"memory ran out in a pass of {now} images: from now on they pass {half} at a time", DreamoptWarning, stacklevel=3)
        return True

    def parts(self, layers: Sequence[str], size: Sequence[int], count: int) -> list[range]:
        """Return ``count`` samples in parts that pass at once, as equal as they can be."""
        return even_parts(count, self.most(layers, size))

    def passed(self, layers: Sequence[str], size: Sequence[int], count: int, work: Callable[[range], T]) -> list[T]:
        """Return what some work gives of each part of ``count`` samples; where memory runs out, all of it is done again in halves.

        Raises
        ------
        OutOfMemoryError
            Where it runs out with one sample.
        """
        while True:
            try:
                return [work(part) for part in self.parts(layers, size, count)]
            except OutOfMemoryError:
                if not self.halve(layers, size, count):
                    raise


def even_parts(count: int, most: int | None) -> list[range]:
    """Return the numbers 0 to ``count`` - 1 in as few parts of at most ``most`` as there can be, as equal as they can be.

    >>> even_parts(7, 3)
    [range(0, 3), range(3, 5), range(5, 7)]
    """
    parts = 1 if most is None else -(-count // max(most, 1))
    ends = [-(-count * k // max(parts, 1)) for k in range(parts + 1)]
    return [range(first, end) for first, end in pairwise(ends)]
