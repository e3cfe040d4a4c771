"""Find the library of native kernels that suits the processor."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import Array
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Protocol

import torch  # before the kernels: they then run on the threads of torch's own OpenMP
from torch import Tensor

_BY_CAPABILITY = {"AVX512": ("_avx512", "_avx2", "_any"), "AVX2": ("_avx2", "_any")}


@cache
def library() -> ctypes.CDLL | None:
    """Return the kernels' library, or None where it is not built or ``DREAMOPT_NATIVE=0`` is in the environment.

    Of the variants that were built with the package, it is the one of the widest vectors that this processor has.

    Notes
    -----
    What it computes is the same bits on any number of threads. `call` runs a kernel of it.
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


class Recorder(Protocol):
    """What notes the calls of kernels."""

    def native(self, function: Callable[..., Any], arguments: Sequence[Any], tensors: Sequence[Tensor]) -> None:
        """Note a call: the function, its arguments as ctypes takes them, and the tensors whose memory they name."""


_local = threading.local()


@contextmanager
def recorded_by(recorder: Recorder) -> Iterator[None]:
    """Let the recorder note this thread's calls meanwhile."""
    before = getattr(_local, "recorder", None)
    _local.recorder = recorder
    try:
        yield
    finally:
        _local.recorder = before


def call(
    name: str,
    *arguments: Tensor | Array[Any] | float | None,
    kernels: ctypes.CDLL | None = None,
    behind: Callable[[], Sequence[Tensor | None]] | None = None,
) -> None:
    """Run a kernel: ``dreamopt_`` and its name.

    Parameters
    ----------
    name : str
        The kernel's.
    *arguments : Tensor, array of ctypes, int, float or None
        In the order of its C function. Of a tensor it gets the address of the first value, of None a null pointer; whole numbers have
        64 bits, others are doubles.
    kernels : CDLL, optional
        Another library than `library`.
    behind : callable, optional
        Returns tensors whose addresses stand in an array among the arguments.

    Raises
    ------
    MemoryError
        If the machine has no memory for what the kernel works in.
    """
    there = library() if kernels is None else kernels
    assert there is not None, "the caller has asked library()"
    function, converted = getattr(there, f"dreamopt_{name}"), [*map(_argument, arguments)]
    recorder: Recorder | None = getattr(_local, "recorder", None)
    if recorder is not None:
        tensors = (*arguments, *(() if behind is None else behind()))
        recorder.native(function, converted, [tensor for tensor in tensors if isinstance(tensor, Tensor)])
    if function(*converted):
        raise MemoryError(f"no memory for what the native kernel '{name}' works in")


def _argument(value: Tensor | Array[Any] | float | None) -> Any:
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(None if value is None else value.data_ptr())
    if isinstance(value, Array):
        return value
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_int64(value)
