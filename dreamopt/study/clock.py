"""A clock that stands still while something is measured."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch


class Clock:
    """Seconds since it was made, without those in which it stood still.

    Parameters
    ----------
    device : torch.device
        What is computed on it is waited for before the clock stops, and before it goes on.
    now : callable
        Seconds since some moment.

    Examples
    --------
    >>> times = iter((10.0, 12.0, 17.0, 18.0))
    >>> clock = Clock(torch.device("cpu"), lambda: next(times))
    >>> with clock.stopped() as seconds:
    ...     seconds
    2.0
    >>> clock.seconds()
    3.0
    """

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        self._device, self._now = device, now
        self._wait()
        self._began = now()

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def seconds(self) -> float:
        """Return the seconds so far."""
        return self._now() - self._began

    @contextlib.contextmanager
    def stopped(self) -> Iterator[float]:
        """Let the clock stand still while the block runs, and yield what it shows."""
        self._wait()
        stop = self._now()
        try:
            yield stop - self._began
        finally:
            self._wait()
            self._began += self._now() - stop
