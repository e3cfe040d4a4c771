"""One graph for all who ask what a name means: programs, subnets for real Caffe, `Network`, inspect and diagnosis."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dreamopt.backends.caffe.subnet import SubnetBuilder
from dreamopt.backends.engine import EngineBackend
from dreamopt.engine import Net
from dreamopt.engine.graph import NetGraph, insert_splits
from dreamopt.errors import NetError, TargetError
from dreamopt.network import Network
from dreamopt.recipes.inspect import inspect
from dreamopt.schema import NetDef, parse_net, read_net
from tests.support.oracle.random_nets import make_case

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 6 dim: 5 dim: 4 } } }\n'
NETS = {
    "in place chain": INPUT
    + """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 3 kernel_size: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "power" type: "Power" bottom: "conv" top: "conv" power_param { power: 2 } }
layer { name: "end" type: "AbsVal" bottom: "conv" top: "end" }""",
    "splits": INPUT
    + """layer { name: "a" type: "AbsVal" bottom: "data" top: "a" }
layer { name: "b" type: "Power" bottom: "a" top: "b" power_param { power: 2 } }
layer { name: "c" type: "Power" bottom: "a" top: "c" power_param { scale: 2 } }
layer { name: "d" type: "Eltwise" bottom: "b" bottom: "c" bottom: "a" top: "d" }
layer { name: "e" type: "ReLU" bottom: "d" top: "d" propagate_down: false }""",
    "slices": INPUT
    + """layer { name: "half" type: "Slice" bottom: "data" top: "one" top: "two" slice_param { axis: 1 slice_point: 2 } }
layer { name: "relu" type: "ReLU" bottom: "two" top: "two" }
layer { name: "third" type: "Slice" bottom: "one" top: "third" top: "rest" slice_param { axis: 1 slice_point: 1 } }
layer { name: "half[0]" type: "Power" bottom: "rest" top: "rest" power_param { power: 2 } }
layer { name: "sum" type: "Concat" bottom: "two" bottom: "rest" top: "sum" }""",
    "shared names": INPUT
    + """layer { name: "a" type: "AbsVal" bottom: "data" top: "b" }
layer { name: "b" type: "Power" bottom: "b" top: "a" power_param { shift: 1 } }
layer { name: "c" type: "ReLU" bottom: "a" top: "a" }
layer { name: "d" type: "Power" bottom: "a" top: "blob" power_param { scale: 3 } }
layer { name: "e" type: "Power" bottom: "blob" top: "blob" power_param { shift: 2 } }""",
}
PUBLISHED = ("alexnet", "caffenet", "fcn8s_pascal_val", "googlenet", "mobilenet", "resnet50", "upconv_fc6_generator", "vgg_cnn_s_v1")


def meanings(net: NetDef) -> dict[str, tuple[str, int]]:
    """Read the file's own layers one after another: what each name means, as (layer, top). No Split is known here."""
    blobs: dict[str, tuple[str, int]] = {}
    layers: dict[str, tuple[str, int]] = {}
    numbered: dict[str, tuple[str, int]] = {}
    for layer in net.param.layer:
        for j, top in enumerate(layer.top):
            blobs[top] = (layer.name, j)
            if len(layer.top) > 1:
                numbered.setdefault(f"{layer.name}[{j}]", (layer.name, j))
        if layer.top:
            layers.setdefault(layer.name, (layer.name, 0))
    return blobs | numbered | layers


def of(graph: NetGraph, name: str) -> tuple[str, int]:
    i, j = graph.value(name)
    return graph.layers[i].name, j


def check(definition: NetDef) -> Network:
    expected = meanings(definition)
    net = Net(definition)
    network = Network(EngineBackend(net))
    graphs = [NetGraph(insert_splits(definition)), SubnetBuilder(definition).graph, network.graph]
    for name, meaning in expected.items():
        assert [of(graph, name) for graph in graphs] == [meaning] * 3, name
        assert network.resolve(name) == name
    asked = [name for name, (layer, _) in expected.items() if net.layer_dict[layer].type not in ("Silence",)]
    program = net.program(asked)
    assert program.wanted == {name: graphs[0].value(name) for name in asked}
    assert [graph.reads for graph in graphs] == [graphs[0].reads] * 3
    assert [graph.skipped for graph in graphs] == [graphs[0].skipped] * 3 == [[node.skipped for node in net.nodes]] * 3
    for info in network.layers:  # what a layer is said to read is what made it
        for (i, j), (producer, name) in zip(
            network.graph.reads[network.graph.value(info.name)[0]], network.producers(info.name), strict=True
        ):
            assert network.graph.value(name) == (i, j)
            assert producer == network.layers[i] == network.writer(name)
    for row in inspect(network)["layers"]:
        assert [network.resolve(target) for target in row["targets"]] == row["targets"]
    for blob, names in inspect(network)["overwritten"].items():
        writers = [(layer.name, j) for layer in definition.param.layer for j, top in enumerate(layer.top) if top == blob]
        assert [of(network.graph, name) for name in names] == writers
    return network


@pytest.mark.parametrize("name", NETS)
def test_all_users_agree(name: str) -> None:
    check(parse_net(NETS[name]))


@pytest.mark.parametrize("seed", range(12))
def test_all_users_agree_on_random_nets(seed: int) -> None:
    check(parse_net(make_case(seed).text))


@pytest.mark.parametrize("name", PUBLISHED)
def test_graphs_agree_on_published_nets(name: str, shared: Path) -> None:
    size = {"data": (1, 3, 97, 101)} if name == "fcn8s_pascal_val" else None
    definition = read_net(shared / "nets" / f"{name}.prototxt", input_shape=size)
    expected = meanings(definition)
    graphs = [NetGraph(insert_splits(definition)), SubnetBuilder(definition).graph]
    for name, meaning in expected.items():
        assert [of(graph, name) for graph in graphs] == [meaning] * 2, name


def test_values_of_a_slice_are_named_alike_everywhere() -> None:
    network = check(parse_net(NETS["slices"]))
    x = torch.randn(3, 6, 5, 4, generator=torch.Generator().manual_seed(0))
    values = network.activations(x, ["half", "half[1]", "two", "third", "half[0]", "rest"])
    assert torch.equal(values["half"], x[:, :2])
    assert torch.equal(values["half[1]"], x[:, 2:])
    assert torch.equal(values["two"], x[:, 2:].relu())
    assert torch.equal(values["third"], x[:, :1])
    assert torch.equal(values["half[0]"], x[:, 1:2] ** 2), "a layer's own name comes before a top's number"
    assert inspect(network)["overwritten"] == {"two": ["half[1]", "relu"], "rest": ["third[1]", "half[0]"]}
    assert [name for _, name in network.producers("sum")] == ["relu", "half[0]"]


def test_readers_in_place_and_below() -> None:
    graph = NetGraph(insert_splits(parse_net(NETS["splits"])))
    place = {layer.name: i for i, layer in enumerate(graph.layers)}
    assert graph.readers[graph.value("a")] == [place["b"], place["c"], place["d"]]
    assert graph.in_place(place["e"])
    assert not graph.in_place(place["d"])
    assert [graph.layers[i].name for i in graph.below(["d"])] == ["d", "c", "b", "a", "data"]
    assert [graph.skipped[place[name]] for name in "abcde"] == [True, True, True, True, False]


def test_a_name_that_means_nothing() -> None:
    graph = NetGraph(insert_splits(parse_net(NETS["slices"])))
    with pytest.raises(TargetError, match="the net has no layer or blob 'halv'; did you mean half"):
        graph.value("halv")
    with pytest.raises(NetError, match=r"layer 'sum' \(Concat\) reads the blob 'two', which no layer before it makes"):
        NetGraph(graph.layers[-1:])
