"""Tiles over real Caffe: what the engine says of windows holds for Caffe's own passes, begun at the input or in the midst of the net."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from dreamopt.network import Network, load_net
from dreamopt.network.tiling.plan import Layout, TilePlan
from dreamopt.network.tiling.tiler import Tiler
from dreamopt.problem import Problem
from tests.oracle.conftest import caffe_root

pytestmark = pytest.mark.oracle
SIZE = (104, 121)


@pytest.fixture(scope="module")
def caffe() -> Iterator[Network]:
    network = load_net(backend="remote", python=f"chroot {caffe_root()} python3", timeout=60)
    yield network
    network.backend.close()


def by_plan(network: Network, plan: TilePlan) -> Network:
    class Planned(Tiler):
        def is_whole(self, *_: object) -> bool:
            return False

        def layout(self, targets: object, size: tuple[int, int]) -> Layout:
            return Layout(self.backend, self.graph, targets, plan, size)  # type: ignore[arg-type]

    tiled = network.untiled()
    tiled._tiler = Planned(network.backend, network.graph, 10**12)
    return tiled


def assert_alike(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Require equality up to rounding, but around a few places: matrix products of other sizes round otherwise, and a ReLU may turn."""
    differs = (found - expected).abs() / expected.abs().max()
    assert float((differs > 1e-5).float().mean()) < 0.05
    assert float(differs.max()) < 1e-3


@pytest.mark.parametrize("plan", [TilePlan(64), TilePlan(None, ("pool1",), (48, None)), TilePlan(80, ("pool1", "mixed3"), (40, None, 6))])
@pytest.mark.parametrize("target", ["mixed4", 'energy("mixed4", "norm") + conv2:3'])
def test_caffes_passes_in_tiles(caffe: Network, plan: TilePlan, target: str) -> None:
    whole, tiled = (Problem(network, target, size=SIZE, transforms=["jitter(4)"]) for network in (caffe, by_plan(caffe, plan)))
    params = whole.start(seed=2) * 20
    expected, found = whole.evaluate(params), tiled.evaluate(params)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)
    assert_alike(found.gradient, expected.gradient)


def test_the_engines_plan_serves_caffe_and_gives_its_gradient(caffe: Network) -> None:
    memory = (caffe.memory_of(["mixed4"], SIZE) or 0) // 3
    assert not caffe.tiled(memory).tiling_of(["mixed4"], SIZE).is_whole
    engine = Problem(load_net(device="cpu"), "mixed4", size=SIZE)
    params = engine.start(seed=2) * 20
    expected, found = engine.evaluate(params), Problem(caffe.tiled(memory), "mixed4", size=SIZE).evaluate(params)
    assert_alike(found.gradient, expected.gradient)


def test_a_worker_that_was_ended_between_tiles_is_replaced(caffe: Network) -> None:
    tiled = by_plan(caffe, TilePlan(64))
    x = 50 * torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    before = tiled.activations(x, ["mixed3"])["mixed3"]
    caffe.backend.close()
    np.testing.assert_array_equal(tiled.activations(x, ["mixed3"])["mixed3"], before)
