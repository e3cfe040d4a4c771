"""How the threads of a pass wait for each other, and how many there are while other programs want the cores too.

Threads that wait spin for a while before they sleep. On a machine of its own that is the fastest; where another program has the core, the
time that is spun away is the time that the awaited thread would need. So they spin shortly, and a pass takes fewer threads while other
programs take the cores (docs/performance.md, Busy machines).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SPINS = 20000
"""Turns that a waiting thread spins before it leaves the core, for GOMP_SPINCOUNT: about 0.2 ms, where libgomp's number makes several."""
_CHOSEN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_WINDOW = 0.25  # seconds between two looks at what others take
_PAUSE, _WAITED = 2 * _WINDOW, 0.125  # seconds between two passes, and of a core in them, by which this process is known to have waited
_LOWER, _RAISE = 0.5, 0.35  # of a core: what must be free for a thread to stay, and what must not be taken for one more


def wait_briefly() -> None:
    """Let threads that wait spin shortly, unless the environment says how; too late once torch is loaded."""
    if "torch" not in sys.modules and not any(name in os.environ for name in _CHOSEN):
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)


def take(count: int) -> None:
    """Take so many threads in this process and those that it starts, whatever other programs do."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


@dataclass(frozen=True)
class Usage:
    """Seconds that were worked on this process's cores so far.

    Parameters
    ----------
    at : float
        When, in seconds.
    all, own : float
        By all programs together, and by this one.
    """

    at: float
    all: float
    own: float


def busy_ticks(stat: str, numbers: set[int], *, niced: bool) -> int:
    r"""Return the ticks that cores of these numbers were busy, from the text of ``/proc/stat``.

    Programs of low priority, as those that work in the background for days, leave the cores to others: they count only where this one is
    ``niced`` too.

    >>> busy_ticks("cpu  9 9 9\ncpu0 100 30 20 999 7 1 2 3 0 0\ncpu1 50 0 0 0 0 0 0 0 0 0\n", {0}, niced=False)
    126
    """
    names, total = {f"cpu{number}" for number in numbers}, 0
    for line in stat.splitlines():
        name, *words = line.split() or [""]
        if name in names:
            user, nice, system, _, _, interrupts, soft, *stolen = map(int, words)
            total += user + system + interrupts + soft + sum(stolen[:1]) + nice * niced
    return total


def usage() -> Usage | None:
    """Return the seconds worked so far; None where the system does not say them, and in a real-time process, which others wait for."""
    try:
        if os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
            return None
        niced = os.getpriority(os.PRIO_PROCESS, 0) > 0
        ticks = busy_ticks(Path("/proc/stat").read_text(encoding="ascii"), os.sched_getaffinity(0), niced=niced)
    except (OSError, ValueError, AttributeError):
        return None
    times = os.times()
    return Usage(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), times.user + times.system)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Sharing:
    """How many threads to take, from what other programs take of the cores.

    Parameters
    ----------
    whole : int
        Threads on a machine of one's own.
    cores : int
        Cores that there are for all.
    look : callable
        As `usage`.
    clock : callable
        As `time.monotonic`.

    Notes
    -----
    Of two looks a quarter of a second apart, the difference is what others took: as many threads are taken as cores are left, at least one.
    A thread more needs a core that is all but free, so that the number does not go up and down. What others took while this process waited,
    perhaps for them, says nothing of the passes to come, and changes nothing.
    """

    def __init__(
        self, whole: int, cores: int, look: Callable[[], Usage | None] = usage, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.whole, self.cores, self._look, self._clock = whole, cores, look, clock
        self._threads, self._last = whole, look()
        self._next = clock() + _WINDOW

    def threads(self) -> int:
        """Return how many threads the next pass takes."""
        if self._last is None or self._clock() < self._next:
            return self._threads
        now, last = self._look(), self._last
        self._next, self._last = self._clock() + _WINDOW, now
        if now is None or now.at <= last.at:
            return self._threads
        seconds, own = now.at - last.at, now.own - last.own
        if seconds > _PAUSE and own < seconds * _WAITED:
            return self._threads
        others = max(0.0, (now.all - last.all) - own) / seconds
        free = self.cores - others
        fewer, more = int(free + _LOWER), int(free + _RAISE)
        self._threads = max(1, min(self.whole, fewer if fewer < self._threads else max(more, self._threads)))
        return self._threads


_shared: Sharing | None = None


@contextmanager
def of_a_pass() -> Iterator[None]:
    """Take fewer threads inside, while other programs take the cores.

    Only where nobody has chosen a number: by ``OMP_NUM_THREADS``, by `take`, or by ``torch.set_num_threads``. What is computed inside must
    be the same bits with any number of threads.
    """
    import torch

    global _shared
    whole = torch.get_num_threads()
    if whole == 1 or "OMP_NUM_THREADS" in os.environ:
        yield
        return
    if _shared is None:
        there = cores()
        _shared = Sharing(whole if whole in (there, there // 2) else 1, there)  # another number was chosen by somebody
    threads = _shared.threads() if whole == _shared.whole else whole
    if threads == whole:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(whole)
