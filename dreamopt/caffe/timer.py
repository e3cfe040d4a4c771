"""``caffe.Timer``: how long something took."""

import time


class Timer:
    """Start it, stop it, read `ms`."""

    def __init__(self) -> None:
        self._from = self._to = time.perf_counter()

    def start(self) -> None:
        """Begin."""
        self._from = self._to = time.perf_counter()

    def stop(self) -> None:
        """End."""
        self._to = time.perf_counter()

    @property
    def ms(self) -> float:
        """Milliseconds between start and stop."""
        return 1000 * (self._to - self._from)
