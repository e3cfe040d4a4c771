"""Strongest weights in and out: against all expanded weights, and by hand."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import torch

import dreamopt
from dreamopt.circuits.connections import Connection, Connections
from dreamopt.circuits.expanded import expanded_weights
from dreamopt.circuits.linear_net import LinearNet
from dreamopt.network import Network
from tests.support.nets import conv, image_input, layer, relu

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose

MODULES = (
    conv("a", "data", 6, "kernel_size: 3 stride: 2")
    + relu("a/relu", "a")
    + layer("pool", "Pooling", "a", more="pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    + conv("reduce", "pool", 4, "kernel_size: 1", relu=True)
    + conv("wide", "reduce", 7, "kernel_size: 3 pad: 1", relu=True)
    + conv("narrow", "pool", 5, "kernel_size: 1", relu=True)
    + layer("joined", "Concat", "narrow wide")
    + conv("b", "joined", 12, "kernel_size: 3 pad: 1 group: 2", relu=True)
    + layer("sum", "Eltwise", "joined b")
    + layer("sum/relu", "ReLU", "sum", "sum")
    + conv("c", "sum", 9, "kernel_size: 2")
    + layer("mean", "Pooling", "c", more="pooling_param { pool: AVE global_pooling: true }")
    + layer("prob", "Softmax", "mean")
)


@pytest.fixture
def network(tmp_path: Path) -> Network:
    path = tmp_path / "net.prototxt"
    path.write_text(image_input(shape=(1, 3, 29, 33)) + MODULES, encoding="utf-8")
    return dreamopt.load_net(path, device="cpu", seed=5)


def rows(connections: list[Connection]) -> list[tuple[str, int]]:
    return [(found.layer, found.unit) for found in connections]


def test_what_feeds_what(network: Network) -> None:
    connections = Connections(network)
    sources = {name: connections.sources(name) for name in ("a", "pool", "reduce", "wide", "joined", "b", "sum", "c", "mean", "prob")}
    assert sources == {
        "a": ["data"],
        "pool": ["data"],
        "reduce": ["a"],
        "wide": ["reduce"],
        "joined": ["reduce", "a"],
        "b": ["narrow", "wide"],
        "sum": ["narrow", "wide", "reduce", "a"],
        "c": ["b", "narrow", "wide"],
        "mean": ["b", "narrow", "wide"],
        "prob": ["b", "narrow", "wide"],
    }
    targets = {name: connections.targets(name) for name in ("a", "pool", "reduce", "wide", "joined", "sum", "c")}
    assert targets == {
        "a": ["reduce", "narrow"],
        "pool": ["reduce", "narrow"],
        "reduce": ["wide"],
        "wide": ["b", "c"],
        "joined": ["b", "c"],
        "sum": ["c"],
        "c": [],
    }


def test_of_chosen_layers_the_nearest_count(network: Network) -> None:
    connections = Connections(network, ["pool", "sum", "sum/relu", "joined", "c", "mean", "prob"])
    assert [connections.sources(name) for name in ("pool", "joined", "sum", "c")] == [["data"], ["pool"], ["joined", "pool"], ["sum/relu"]]
    # sum/relu is sum again, and mean and prob are c again
    assert [connections.targets(name) for name in ("pool", "joined", "sum/relu")] == [["joined", "sum"], ["sum"], ["c"]]
    assert connections.targets("sum") == ["c"]  # no chosen layer has it as the nearest: then any layer with weights counts
    far = Connections(network, ["a", "prob"])
    assert far.sources("prob") == ["reduce", "a"]  # behind three layers with weights, c, b and wide, the next one counts


@pytest.mark.parametrize("among", [(), ("pool", "joined", "c")])
def test_the_strongest_of_all_expanded_weights(network: Network, among: tuple[str, ...]) -> None:
    linear = LinearNet(network)
    connections = Connections(linear, among)
    found = connections.incoming("c", [2, 8], count=5)
    every: dict[int, list[tuple[float, str, int]]] = {2: [], 8: []}
    if among:
        sources = {"joined": expanded_weights(linear, "c", "joined", [2, 8])}
    else:  # of narrow and wide only the way through the sum, since b is one of the sources
        direct = expanded_weights(linear, "c", "sum", [2, 8])
        assert set(dict(rows(found[2]))) <= {"b", "narrow", "wide"}
        sources = {"b": direct}
        parts = {"narrow": direct.kernels[:, :5], "wide": direct.kernels[:, 5:]}
        every = {
            unit: [(float(s), name, j) for name, part in parts.items() for j, s in enumerate(part[i].flatten(1).norm(dim=1))]
            for i, unit in enumerate((2, 8))
        }
    for name, weights in sources.items():
        for i, unit in enumerate((2, 8)):
            every[unit] += [(float(abs(s)), name, j) for j, s in enumerate(weights.strengths[i])]
    for unit in (2, 8):
        want = sorted(every[unit], reverse=True)[:5]
        assert [abs(one.strength) for one in found[unit]] == pytest.approx([strength for strength, _, _ in want], rel=1e-5)
        for one in found[unit]:
            total = float(one.kernel.sum())
            assert abs(one.strength) == pytest.approx(float(one.kernel.norm()), rel=1e-5)
            assert (one.strength < 0) == (total < 0)


def test_outgoing_is_incoming_from_the_other_end(network: Network) -> None:
    for among in ((), ("a", "pool", "joined", "sum", "c")):
        connections = Connections(network, among)
        for name in ("a", "pool", "wide", "joined"):
            out = connections.outgoing(name, count=1000)
            for target in connections.targets(name):
                into = connections.incoming(target, count=1000)
                back = {(one.unit, unit): one for unit, found in into.items() for one in found if one.layer == name}
                if name not in connections.sources(target):
                    continue  # a layer behind a convolution is a source under the convolution's name
                have = {(unit, one.unit): one for unit, found in out.items() for one in found if one.layer == target}
                assert have.keys() == back.keys() != set()
                for key, one in have.items():
                    assert one.strength == pytest.approx(back[key].strength)
                    torch.testing.assert_close(one.kernel, back[key].kernel)


def test_a_pooled_unit_has_the_weights_of_what_is_pooled(network: Network) -> None:
    connections = Connections(network)
    pooled, own = connections.incoming("mean", [4])[4], connections.incoming("c", [4])[4]
    assert rows(pooled) == rows(own)
    assert all(torch.equal(one.kernel, other.kernel) for one, other in zip(pooled, own, strict=True))
    assert connections.outgoing("mean") == {unit: [] for unit in range(9)}


def test_choices_with_the_same_ways_give_the_same_connections(network: Network) -> None:
    every, linear, random = [info.name for info in network.layers[1:]], LinearNet(network), Random(4)
    known: dict[str, tuple[object, set[str]]] = {}
    shared = 0
    for _ in range(60):
        among = {*random.sample(every, random.randint(0, 6)), "joined"}
        connections = Connections(linear, among)
        ways = json.dumps(connections.ways("joined"))
        found = [connections.incoming("joined", [1, 9], 6), connections.outgoing("joined", [1, 9], 6)]
        plain = [
            {unit: [(*row, one.strength) for row, one in zip(rows(some), some, strict=True)] for unit, some in by.items()} for by in found
        ]
        before, choice = known.setdefault(ways, (plain, among))
        assert plain == before, (among, choice)
        shared += among != choice
    assert shared > 10
    assert len(known) > 5
