"""Keep freed memory for the next step.

A step frees all its large tensors and asks for the same ones again at once. glibc hands memory of that size back to the
kernel in between, and each of the thousands of pages is then zeroed and mapped anew: a fifth of the time of a step.
"""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_LARGEST_BLOCK = 1 << 26  # larger ones are images, of which few are made in a step, and the values that `Blocks` gives memory to


@cache
def keep_memory() -> bool:
    """Tell glibc to keep what is freed; returns whether it does. ``DREAMOPT_KEEP_MEMORY=0`` in the environment forbids it.

    The process then stays as large as its largest step was. Other C libraries are left as they are.
    """
    if os.environ.get("DREAMOPT_KEEP_MEMORY") == "0" or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)) and bool(libc.mallopt(_TRIM_THRESHOLD, -1))
