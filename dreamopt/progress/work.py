"""How much of a job of images is done, what its steps cost, and how that is said."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dreamopt.optimize import Progress as RunProgress


class Work:
    """How much of a job is done: steps, and what they cost.

    A step costs what its image has of pixels, so that the time left is right for octaves, of which the last takes half of all.

    Parameters
    ----------
    samples : int
        Images.
    steps : int
        Of each.
    stages : sequence of (int, float), optional
        Steps of each run of an image, and its pixels in it; by default all steps cost the same.
    """

    def __init__(self, samples: int, steps: int, stages: Sequence[tuple[int, float]] | None = None) -> None:
        self.samples = samples
        self.by_pixels = stages is not None
        self.stages = [(steps, 1.0)] if stages is None else stages
        self.steps = samples * steps
        self.total = samples * sum(steps * cost for steps, cost in self.stages)
        self.done = 0
        self.cost = 0.0
        self._start = (time.monotonic(), 0, 0.0)
        self._begun = False
        self._first: tuple[float, float] | None = None
        self._last: tuple[object, int] = (None, 0)

    def add(self, run: RunProgress) -> None:
        """Count a step, or those of a search; a run that was resumed brings those that were made before."""
        same = self._last[0] is run.problem
        made = (run.step + 1 - (self._last[1] if same else 0)) * run.problem.n
        self._last = (run.problem, run.step + 1)
        cost = float(math.prod(run.problem.size)) if self.by_pixels and run.problem.size is not None else 1.0
        if not self._begun:  # a run that was resumed, maybe in a later octave: what was made before took none of this time
            before = self.stages[: run.octave] if self.by_pixels else ()
            self.done = run.problem.n * sum(steps for steps, _ in before)
            self.cost = run.problem.n * sum(steps * cost for steps, cost in before)
            earlier = made - run.problem.n
            self._start = (self._start[0], self.done + earlier, self.cost + earlier * cost)
        self._begun = True
        self.done += made
        self.cost += made * cost
        if self._first is None:
            self._first = (time.monotonic(), self.cost)

    def speed(self) -> float:
        """Return steps per second."""
        return (self.done - self._start[1]) / max(time.monotonic() - self._start[0], 1e-9)

    def images(self) -> float:
        """Return how many images' work was made since the start."""
        return self.samples * (self.cost - self._start[2]) / max(self.total, 1e-9)

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return max(time.monotonic() - self._start[0], 1e-9)

    def images_an_hour(self) -> str:
        """Return in words how many images an hour are made; "" for a single one.

        >>> work = Work(4, 10)
        >>> work._start, work.cost = (time.monotonic() - 36.0, 0, 0.0), 20.0
        >>> work.images_an_hour()
        '200 images/h'
        """
        # Three digits, and never as a power of ten.
        return f"{float(f'{3600 * self.images() / self.seconds():.3g}'):.10g} images/h" if self.samples > 1 else ""

    def summary(self) -> str | None:
        """Return the line for the end of a job of several images; None where not one was made."""
        made = round(self.images(), 6)
        if self.samples < 2 or made < 1:
            return None
        return f"{made:.3g} image{'s' if made != 1 else ''} in {clock(self.seconds())}, {self.images_an_hour()}"

    def left(self) -> float | None:
        """Return the seconds that are left; None before the second step: the first includes the net's preparation."""
        if self.cost >= self.total:
            return 0.0
        if self._first is None or self.cost <= self._first[1]:
            return None
        return (self.total - self.cost) * (time.monotonic() - self._first[0]) / (self.cost - self._first[1])

    def left_words(self) -> str:
        """Return that for a line; "" where it is not known yet."""
        left = self.left()
        return "" if left is None else f"{clock(left)} left"

    def part_of_step(self, done: int, count: int) -> float:
        """Return the cost that is done, where so many tiles of the step under way are."""
        at = 0.0
        for steps, cost in self.stages:
            if self.cost < at + steps * cost:
                return self.cost + cost * done / count
            at += steps * cost
        return self.cost


def values_of(values: Sequence[float]) -> str:
    """Return the values of a batch's images: each, up to four, in the order of the targets; of more, the range and the median.

    A mean would say nothing: units differ by orders of magnitude.

    >>> values_of([12.0]), values_of([12.0, 3456.7]), values_of(range(9))
    ('value 12', 'values 12, 3457', 'values 0 to 8, median 4')
    """
    if len(values) <= 4:
        return ("value " if len(values) == 1 else "values ") + ", ".join(f"{value:.4g}" for value in values)
    return f"values {min(values):.4g} to {max(values):.4g}, median {statistics.median(values):.4g}"


def clock(seconds: float) -> str:
    """Return a time as people read it.

    >>> clock(8.4), clock(75), clock(7384)
    ('8 s', '1:15', '2:03:04')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
