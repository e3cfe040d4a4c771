"""A step of DeepDream on GoogLeNet beside real Caffe's, with the memory of both: ``pytest benchmarks/test_dream.py -s``."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.cases import load, picture, seed_like, shared
from benchmarks.contestants import engine
from benchmarks.dreaming import GOOGLENET, caffes, ours, processor
from benchmarks.real_caffe import CORES, fastest_core, root

pytest.importorskip("pytest_benchmark")
pytestmark = pytest.mark.skipif(not (shared() / GOOGLENET.prototxt).is_file(), reason=f"no {GOOGLENET.prototxt} at {shared()}")


@pytest.fixture(scope="module")
def core() -> str:
    """Find what to tell OpenBLAS so that real Caffe is at its fastest."""
    if root() is None:
        return CORES[0]
    x = picture(load(GOOGLENET), 1)
    return fastest_core(GOOGLENET, x, seed_like(engine(GOOGLENET)(x, None)[0].shape))


@pytest.mark.parametrize("size", [(576, 1024), (1080, 1920)], ids=["576x1024", "1080x1920"])
def test_step(size: tuple[int, int], core: str, benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    mine = ours(size, 5)
    benchmark.extra_info |= {"processor": processor(), "step": mine.seconds, "bytes": mine.bytes}
    said = f"\n{size[0]}x{size[1]} on {processor()}: {mine.seconds:.2f} s a step, {mine.bytes / 1e9:.2f} GB"
    if root() is not None:
        theirs = caffes(size, 3, core)
        benchmark.extra_info |= {"caffe_step": theirs.seconds, "caffe_bytes": theirs.bytes, "core": core}
        said += (
            f"; Caffe ({core or 'as installed'}) {theirs.seconds:.2f} s, {theirs.bytes / 1e9:.2f} GB: {theirs.seconds / mine.seconds:.2f}"
        )
    with capsys.disabled():
        print(said)
    benchmark.pedantic(ours, args=(size, 2), rounds=1)


@pytest.mark.parametrize(("size", "memory"), [((1080, 1920), 1_200_000_000), ((6000, 8000), 4_000_000_000)], ids=["1080p", "48 megapixels"])
def test_memory(size: tuple[int, int], memory: int, benchmark: Any) -> None:
    found = benchmark.pedantic(ours, args=(size, 1, memory, 4), rounds=1)
    benchmark.extra_info |= {"processor": processor(), "bytes": found.bytes}
    assert found.bytes <= memory
