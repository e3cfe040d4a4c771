"""A step of DeepDream on GoogLeNet beside real Caffe's, with the memory of both: ``pytest benchmarks/test_dream.py``."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from benchmarks.cases import load, random_image, required, seed_like
from benchmarks.contestants import engine
from benchmarks.dreaming import GOOGLENET, caffes, ours, processor
from benchmarks.measured import measured, record
from benchmarks.real_caffe import CORES, fastest_core, root

pytest.importorskip("pytest_benchmark")


@pytest.fixture(scope="module")
def core() -> str:
    """Find what to tell OpenBLAS so that real Caffe is at its fastest."""
    if root() is None:
        return CORES[0]
    x = random_image(load(required("googlenet")), 1)
    return fastest_core(GOOGLENET, x, seed_like(engine(GOOGLENET)(x, None)[0].shape))


@measured
@pytest.mark.parametrize(
    ("size", "memory", "octaves"),
    [
        ((144, 256), 0, 1),
        ((576, 1024), 0, 1),
        ((1080, 1920), 0, 1),
        ((1080, 1920), 1_200_000_000, 4),
        ((6000, 8000), 4_000_000_000, 4),
    ],
    ids=["256x144", "1024x576", "1920x1080", "1920x1080 in 1.2 GB", "8000x6000 in 4 GB"],
)
def test_step(size: tuple[int, int], memory: int, octaves: int, core: str, benchmark: Any) -> None:
    required("googlenet")
    steps = 1 if memory else 2 if benchmark.disabled else 6
    mine = ours(size, steps, memory, octaves)
    record(benchmark, mine.times)
    benchmark.extra_info |= {"processor": processor(), "bytes": mine.bytes}
    assert not memory or mine.bytes <= memory
    if root() is not None and not memory:
        theirs = caffes(size, 4, core)
        took = statistics.median(theirs.times)
        benchmark.extra_info |= {
            "caffe_step": took,
            "caffe_bytes": theirs.bytes,
            "core": core,
            "ratio": took / statistics.median(mine.times),
        }
