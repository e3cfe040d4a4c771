"""The library of native kernels: found, on torch's threads, and not needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dreamopt.engine.native import call, library
from tests.support.native import needs_kernels

BUILT = library()


def child(code: str, **environment: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="outside of CI there may be no compiler")
def test_ci_builds_the_kernels():
    assert BUILT is not None


@needs_kernels
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_each_piece_runs_once(threads):
    total = torch.zeros(1, dtype=torch.int64)
    for count in (0, 1, 2, 1000):
        call("count", count, threads, total)
        assert total.item() == count


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


@needs_kernels
def test_a_kernel_without_memory_is_a_memory_error():
    code = (
        "import ctypes, resource, torch; from dreamopt.engine.native import call\n"
        "x, pixel_of_64_gigabytes = torch.ones(1), (ctypes.c_int64 * 6)(1, 1 << 34, 1, 1, 0, 5)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 34, 1 << 34))\n"
        "try: call('lrn', pixel_of_64_gigabytes, 1e-4, 0.75, 1.0, x, x, 2)\n"
        "except MemoryError as error: print(error)"
    )
    assert "'lrn'" in child(code)


@needs_kernels
def test_no_memory_in_a_piece_comes_out_on_the_callers_thread():
    for threads in (1, 3):
        with pytest.raises(MemoryError, match="'out_of_memory'"):
            call("out_of_memory", 8, threads)
    call("out_of_memory", 0, 3)
