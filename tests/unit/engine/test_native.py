"""The library of native kernels: found, on torch's threads, and not needed."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dreamopt.engine.native import address, library

BUILT = library()
needs_kernels = pytest.mark.skipif(BUILT is None, reason="the native kernels are not built here (no C++ compiler, or DREAMOPT_NATIVE=0)")


def child(code: str, **environment: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="outside of CI there may be no compiler")
def test_ci_builds_the_kernels():
    assert BUILT is not None


@needs_kernels
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_each_piece_runs_once(threads):
    total = ctypes.c_int64()
    for count in (0, 1, 2, 1000):
        BUILT.dreamopt_count(ctypes.c_int64(count), threads, ctypes.byref(total))
        assert total.value == count


@needs_kernels
def test_one_openmp_runs_torch_and_the_kernels():
    code = (
        "import torch; from dreamopt.engine.native import library; library();"
        "print(sum(1 for path in {line.split()[-1] for line in open('/proc/self/maps') if 'gomp' in line}))"
    )
    if not Path("/proc/self/maps").exists():
        pytest.skip("no /proc here")
    assert child(code) == "1"


def test_environment_turns_them_off():
    assert child("from dreamopt.engine.native import library; print(library())", DREAMOPT_NATIVE="0") == "None"


def test_address_of_a_tensor_and_of_none():
    x = torch.arange(5.0)
    assert address(x) == x.data_ptr()
    assert address(x[2:]) == x.data_ptr() + 8
    assert address(None) is None
