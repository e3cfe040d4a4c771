"""Which layers and units an atlas has, on nets of every kind."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

import dreamopt
from dreamopt.atlas.slug import slug, unslug
from dreamopt.atlas.structure import structure
from dreamopt.atlas.units import atlas_layers, class_layer, units_of
from dreamopt.errors import DreamoptWarning, TargetError

NETS = {
    # name: the number of layers with weights, their first and last, the layer of the classes
    "alexnet": (8, "conv1", "fc8", "fc8"),
    "googlenet": (58, "conv1/7x7_s2", "loss3/classifier", "loss3/classifier"),
    "resnet50": (54, "scale_conv1", "fc1000", "fc1000"),
}


def open_net(path: Path, labels: list[str] | None = None) -> dreamopt.Network:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)  # random weights
        return dreamopt.load_net(path, device="cpu", labels=labels)


@pytest.mark.parametrize("name", NETS)
def test_layers_of_public_nets(name: str, shared: Path) -> None:
    network = open_net(shared / "nets" / f"{name}.prototxt", [f"class {k}" for k in range(1000)])
    layers, (count, first, last, classes) = atlas_layers(network), NETS[name]
    assert (len(layers), layers[0].name, layers[-1].name, class_layer(network)) == (count, first, last, classes)
    assert [layer.name for layer in layers if layer.labels is not None] == [classes]  # not fc7 of a net with 4096 labels, and so on
    assert all(unslug(layer.slug) == layer.name and layer.shape == network.shape_of(layer.name) for layer in layers)
    graph = structure(network, layers)
    assert [node["name"] for node in graph["nodes"] if node["slug"] is not None] == [layer.name for layer in layers]
    assert all(0 <= low < high < len(graph["nodes"]) for low, high in graph["edges"])
    assert not {"Split"} & {node["type"] for node in graph["nodes"]}
    json.dumps([layer.describe() for layer in layers] + [graph])


def test_patterns_choose_layers_in_the_order_of_the_net() -> None:
    network = dreamopt.load_net(device="cpu")
    names = [layer.name for layer in atlas_layers(network, ["scores", "mixed3*", "conv1"])]
    assert (names[0], names[-2:]) == ("conv1", ["mixed3", "scores"])
    assert "mixed3/3x3/scale" in names
    assert "mixed3/3x3/relu" not in names
    assert [layer.type for layer in atlas_layers(network, ["mixed4/*relu"])] == ["ReLU"] * 6
    assert atlas_layers(network, ["conv1"])[0].field == (7, 7)
    with pytest.raises(TargetError, match=r"no layer 'mixd3'.*mixed3"):
        atlas_layers(network, ["mixd3"])
    with pytest.raises(TargetError, match="no layer 'data'"):
        atlas_layers(network, ["data"])


SMALL = """
name: "small"
input: "data" input_shape { dim: 1 dim: 3 dim: 20 dim: 24 }
input: "label" input_shape { dim: 1 dim: 1 }
layer { name: "a/-b" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "a/relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "wide" type: "InnerProduct" bottom: "a" top: "wide" inner_product_param { num_output: 7 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "wide" top: "ip" inner_product_param { num_output: 7 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc" }
"""


def test_labels_are_of_the_classes_alone_and_losses_have_no_units(tmp_path: Path) -> None:
    path = tmp_path / "small.prototxt"
    path.write_text(SMALL)
    network = open_net(path, list("abcdefg"))
    layers = atlas_layers(network)
    assert [(layer.name, layer.labels) for layer in layers] == [("a/-b", None), ("wide", None), ("ip", tuple("abcdefg"))]
    assert layers[0].slug == slug("a/-b") == "a--~2db"
    assert class_layer(network) == "ip"
    with pytest.raises(TargetError, match="no layer 'loss'"):
        atlas_layers(network, ["loss"])


def test_units_are_chosen_by_count_or_by_number() -> None:
    [layer] = atlas_layers(dreamopt.load_net(device="cpu"), ["conv1"])
    assert units_of(layer, None) == tuple(range(24))
    assert units_of(layer, 3) == (0, 1, 2)
    assert units_of(layer, [30, 5, 23, 5]) == (5, 23)
