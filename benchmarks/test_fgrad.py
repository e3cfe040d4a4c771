"""f/grad of each net beside real Caffe with the error against it, and against size and batch with the memory that a pass takes.

``pytest benchmarks/test_fgrad.py``; `benchmarks.ratios` sets the contestants against each other in turns, which is fairer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.cases import BATCHES, CASES, Array, Case, error, load, random_image, required, seed_like
from benchmarks.children import answer
from benchmarks.contestants import Step, engine, layers, plain
from benchmarks.real_caffe import RealCaffe, fastest_core, root

pytest.importorskip("pytest_benchmark")

_CONTESTANTS = {"engine": engine, "layers": layers, "torch": plain}
_SHAPES = [(64, 1), (128, 1), (256, 1), (512, 1), *((128, batch) for batch in (2, 4, 8, 16, 32))]
"""Pixels of a side, and images of a batch."""
_PASS = """
import json, sys
from benchmarks.cases import load, random_image, required, seed_like
from benchmarks.contestants import engine
from tests.support.resident import peak, reset_peak
case, size, batch = required(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
step, x = engine(case), random_image(load(case), batch, size)
before = reset_peak()
y, _ = step(x, None)
forward = peak() - before
step(x, seed_like(y.shape))
print(json.dumps({"bytes": peak() - before, "bytes_forward": forward}))
"""


@pytest.fixture(scope="module")
def core() -> str | None:
    """Find what to tell OpenBLAS so that real Caffe is at its fastest; None where there is no real Caffe."""
    if root() is None:
        return None
    x = random_image(load(CASES[0]), 1)
    return fastest_core(CASES[0], x, seed_like(engine(CASES[0])(x, None)[0].shape))


# The smallest first: a net that brings its weights is read, others are drawn by chance.
_ORDERED = sorted(CASES, key=lambda case: case.weights is None)


@pytest.fixture(scope="module", params=[(case, batch) for case in _ORDERED for batch in BATCHES], ids=lambda p: f"{p[0].name}-{p[1]}")
def setting(request: pytest.FixtureRequest, core: str | None) -> Iterator[dict[str, Any]]:
    """Make a net, an image, a seed, and real Caffe with its answer."""
    case, batch = request.param
    required(case.name)
    x = random_image(load(case), batch)
    seed = seed_like(engine(case)(x, None)[0].shape)
    found: dict[str, Any] = {"case": case, "batch": batch, "x": x, "seed": seed, "caffe": None}
    if core is None:
        yield found
        return
    caffe = RealCaffe(_root(), core)
    try:
        caffe.load(case, x, seed)
        found |= {"caffe": caffe, "answer": caffe.answer()}
        yield found
    finally:
        caffe.close()


def _root() -> Any:
    return root()


@pytest.mark.parametrize("name", [*_CONTESTANTS, "caffe"])
def test_fgrad(name: str, setting: dict[str, Any], benchmark: Any) -> None:
    case: Case = setting["case"]
    x: Array = setting["x"]
    benchmark.group = f"{case.name} {case.layer} batch {setting['batch']}"
    if name == "caffe":
        if setting["caffe"] is None:
            pytest.skip("no real Caffe: set DREAMOPT_CAFFE_ROOT")
        benchmark.pedantic(setting["caffe"].times, args=(1,), rounds=5, warmup_rounds=1)
        return
    step: Step = _CONTESTANTS[name](case)
    y, grad = benchmark.pedantic(step, args=(x, setting["seed"]), rounds=7, warmup_rounds=2)
    if setting["caffe"] is not None:
        value, gradient = setting["answer"]
        assert grad is not None
        benchmark.extra_info |= {"value_error": error(y, value), "gradient_error": error(grad, gradient)}
        assert benchmark.extra_info["value_error"] < 1e-4
        # Max pooling chooses between values that rounding alone tells apart; each other choice moves one gradient.
        assert benchmark.extra_info["gradient_error"] < 5e-2


@pytest.mark.parametrize(("size", "batch"), _SHAPES, ids=lambda n: str(n))
@pytest.mark.parametrize("name", ["squeezenet", "googlenet"])
def test_size_and_batch(name: str, size: int, batch: int, benchmark: Any) -> None:
    """The engine alone; the memory is what a first pass adds to that of the loaded net, its image and gradient too."""
    case = required(name)
    step, x = engine(case), random_image(load(case), batch, size)
    seed = seed_like(step(x, None)[0].shape)
    benchmark.group = f"{case.name} {case.layer}, size and batch"
    benchmark.pedantic(step, args=(x, seed), rounds=7, warmup_rounds=1)
    benchmark.extra_info |= answer(_PASS, name, size, batch)
    benchmark.extra_info["bytes_per_pixel"] = benchmark.extra_info["bytes"] / (batch * size**2)
    if not benchmark.disabled:
        benchmark.extra_info["megapixels_per_second"] = batch * size**2 / 1e6 / benchmark.stats.stats.median
