"""f/grad of each net at each batch size: pytest-benchmark's times, with the error against real Caffe beside them.

``pytest benchmarks``; `benchmarks.ratios` sets the contestants against each other in turns, which is fairer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.cases import BATCHES, CASES, Array, Case, error, load, picture, seed_like, shared
from benchmarks.contestants import Step, engine, layers, plain
from benchmarks.real_caffe import RealCaffe, fastest_core, root

pytest.importorskip("pytest_benchmark")

_CONTESTANTS = {"engine": engine, "layers": layers, "torch": plain}


@pytest.fixture(scope="module")
def core() -> str | None:
    """Find what to tell OpenBLAS so that real Caffe is at its fastest; None where there is no real Caffe."""
    if root() is None:
        return None
    x = picture(load(CASES[0]), 1)
    return fastest_core(CASES[0], x, seed_like(engine(CASES[0])(x, None)[0].shape))


@pytest.fixture(scope="module", params=[(case, batch) for case in CASES for batch in BATCHES], ids=lambda p: f"{p[0].name}-{p[1]}")
def setting(request: pytest.FixtureRequest, core: str | None) -> Iterator[dict[str, Any]]:
    """Make a net, an image, a seed, and real Caffe with its answer."""
    case, batch = request.param
    if not (shared() / case.prototxt).is_file():
        pytest.skip(f"no {case.prototxt} at {shared()}: set DREAMOPT_SHARED")
    x = picture(load(case), batch)
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
