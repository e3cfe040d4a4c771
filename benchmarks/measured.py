"""Times for pytest-benchmark that were measured elsewhere: between two callbacks of a run, by a child, in seconds of the processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


class _Clock:
    """A timer that goes on by what it is given."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def add(self, seconds: float) -> None:
        self.seconds += seconds


_CLOCK = _Clock()
measured = pytest.mark.benchmark(timer=_CLOCK)
"""Marks a benchmark whose times are handed to `record`."""


def record(benchmark: Any, times: Sequence[float]) -> None:
    """Give a benchmark that is marked as `measured` its times, one for each round, in seconds."""
    rest = iter(times)
    benchmark.pedantic(lambda: _CLOCK.add(next(rest)), rounds=len(times))
