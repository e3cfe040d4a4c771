"""Find the library of native kernels that suits the processor."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch  # before the kernels: they then run on the threads of torch's own OpenMP
from torch import Tensor

_BY_CAPABILITY = {"AVX512": ("_avx512", "_avx2", "_any"), "AVX2": ("_avx2", "_any")}


@cache
def library() -> ctypes.CDLL | None:
    """Return the kernels' library, or None where it is not built or ``DREAMOPT_NATIVE=0`` is in the environment.

    Of the variants that were built with the package, it is the one of the widest vectors that this processor has.

    Notes
    -----
    A function of the library takes addresses (`address`) and numbers, runs on ``torch.get_num_threads()`` threads, which the caller hands
    over, and gives the same bits whatever their number is.
    """
    if os.environ.get("DREAMOPT_NATIVE") == "0":
        return None
    here = Path(__file__).parent
    for variant in _BY_CAPABILITY.get(torch.backends.cpu.get_cpu_capability(), ("_any",)):
        for suffix in EXTENSION_SUFFIXES:
            path = here / (variant + suffix)
            if path.is_file():
                return ctypes.CDLL(str(path))
    return None


def address(tensor: Tensor | None) -> int | None:
    """Return where a tensor's first value lies in memory, for a kernel; None (a null pointer) for None."""
    return None if tensor is None else tensor.data_ptr()
