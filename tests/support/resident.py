"""The most memory that this process has held, for tests and for the children that they start."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path


def peak() -> int:
    """Return the bytes of this process that were resident at most.

    On Linux ``ru_maxrss`` begins at what the process was that started this one; ``VmHWM`` begins at zero.
    """
    with contextlib.suppress(OSError, IndexError):
        return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def reset_peak() -> int:
    """Make `peak` count from now on, where the system can, and return the bytes that are resident now; elsewhere, the peak so far."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return peak()
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])
