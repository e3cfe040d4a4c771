"""What a Python process that does a share of the work gets in its environment."""

from __future__ import annotations

import os
import sys

THREAD_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables by which numerical libraries take the number of their threads; they read them once, as they are loaded."""


def child_environment(threads: int) -> dict[str, str]:
    """Return this process's environment with so many threads, and with the folders that it imports from, so that a child finds the same."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**os.environ, **dict.fromkeys(THREAD_COUNTS, str(threads)), "PYTHONPATH": path}
