"""What all benchmarks have: the smallest case alone on request, and how fast the machine was just then."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from dreamopt.network import Network


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --smallest."""
    parser.addoption("--smallest", action="store_true", help="of each benchmark only the first case, which is the smallest")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out all cases but the first of each benchmark, if asked for."""
    if not config.getoption("--smallest"):
        return
    first: dict[str, pytest.Item] = {}
    for item in items:
        first.setdefault(item.nodeid.partition("[")[0], item)
    config.hook.pytest_deselected(items=[item for item in items if item not in first.values()])
    items[:] = first.values()


def reference_seconds() -> float:
    """Return how long a fixed piece of work takes that has nothing to do with dreamopt, the median of five times."""
    matrix = torch.full((384, 384), 0.5)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(8):
            matrix @ matrix
        sum(range(100_000))
        times.append(time.perf_counter() - started)
    return statistics.median(times)


@pytest.fixture(autouse=True)
def machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Note how fast the machine is before and after a benchmark, so that `benchmarks.compare` can tell it from a change of ours."""
    benchmark: Any = request.getfixturevalue("benchmark") if "benchmark" in request.fixturenames else None
    if benchmark is None or benchmark.disabled:
        yield
        return
    before = reference_seconds()
    yield
    benchmark.extra_info["reference_ms"] = 1e3 * (before + reference_seconds()) / 2


@pytest.fixture(scope="session")
def squeezenet() -> Network:
    """Load SqueezeNet, or skip."""
    from benchmarks.cases import load_network, required

    return load_network(required("squeezenet"))
