"""Whether somebody looks: a terminal or a notebook, and not a test, a job of continuous integration, or a process that another started."""

from __future__ import annotations

import os
import sys

QUIET_PLACES = ("CI", "PYTEST_CURRENT_TEST")
"""Environment variables whose presence says that nobody looks, though there may be a terminal."""


def in_kernel() -> bool:
    """Return whether this program is a notebook's kernel; nothing is imported to find out."""
    # A kernel has imported IPython, and everything else does not need it.
    library = sys.modules.get("IPython")
    shell = None if library is None else library.get_ipython()
    return getattr(shell, "kernel", None) is not None


def is_terminal() -> bool:
    """Return whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()  # None: a program without a console


def somebody_looks() -> bool:
    """Return whether progress is shown where it is not said: in a notebook, and where stderr is a terminal.

    Not on a terminal that cannot move its cursor (``TERM=dumb``), where an environment variable of `QUIET_PLACES` is set, and in the
    processes of a pool, whose bars would lie over each other.
    """
    if any(os.environ.get(name) for name in QUIET_PLACES) or _is_child():
        return False
    return in_kernel() or (is_terminal() and os.environ.get("TERM") != "dumb")


def _is_child() -> bool:
    processes = sys.modules.get("multiprocessing.process")  # a process that it started has imported it
    return processes is not None and processes.parent_process() is not None
