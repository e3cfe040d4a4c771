"""The layer that class activation maps are drawn from: by structure alone."""

from pathlib import Path
from typing import Any

import pytest

from dreamopt.attribution.explained import class_layer
from dreamopt.attribution.map_layer import check_map_layer, map_layer
from dreamopt.errors import TargetError, UsageError
from dreamopt.network import Network, load_net
from dreamopt.objective import as_objective
from tests.support.nets import conv, image_input, layer, relu
from tests.support.oracle import public_nets

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose

IMAGE = image_input(shape=(1, 3, 40, 48))
THREE = "kernel_size: 3 pad: 1"
LAST = {
    "googlenet": "inception_5b/output",
    "alexnet": "relu5",
    "caffenet": "relu5",
    "caffenet_yos_v1": "relu5",
    "vgg_cnn_s_v1": "relu5",
    "resnet50": "res5c_relu",
    "mobilenet": "relu6/sep",
}
BUILT = {
    "vgg16": "relu5_3",
    "vgg19_v1": "relu5_4",
    "nin": "relu41",
    "resnext": "res5b2_relu",
    "densenet": "conv5_blk/relu",
    "mobilenet_v2": "conv6/relu",
    "inception_v3": "mixed_9/join",
    "inception_resnet": "a5_relu",
    "v0": "relu2",
}


def open_text(tmp_path: Path, text: str, **options: Any) -> Network:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return load_net(path, device="cpu", **options)


def layer_for(network: Network, target: str, size: tuple[int, int] | None = None) -> str:
    return map_layer(network, as_objective(target).bind(network, size), size)


@pytest.mark.parametrize("name", LAST)
def test_of_published_nets(name: str, shared: Path, tmp_path: Path) -> None:
    network = open_text(tmp_path, (shared / "nets" / f"{name}.prototxt").read_text())
    assert layer_for(network, f"{class_layer(network)}:7") == LAST[name]
    assert layer_for(network, "prob:7") == LAST[name]


@pytest.mark.parametrize("name", BUILT)
def test_of_nets_built_like_published_ones(name: str, tmp_path: Path) -> None:
    network = open_text(tmp_path, getattr(public_nets, name)())
    assert layer_for(network, f"{class_layer(network)}:1") == BUILT[name]


def test_of_squeezenet_it_is_below_the_class_maps(shared: Path) -> None:
    network = load_net(shared / "models/squeezenet/deploy.prototxt", device="cpu")
    for target in ("pool_final:285", "relu_conv_final:285", "conv_final:285", "conv_final:285@3,4", "-pool_final:285"):
        assert layer_for(network, target) == "fire9/concat"
    assert layer_for(network, "fire9/conv3x3_2:7") == "fire9/relu_conv1x1_1"


def test_of_a_segmentation_net(shared: Path, tmp_path: Path) -> None:
    text = (shared / "nets/fcn8s_pascal_val.prototxt").read_text()
    network = open_text(tmp_path, text, input_shape={"data": (1, 3, 300, 300)})
    assert layer_for(network, "score_fr:3") == "relu7"
    assert layer_for(network, "upscore2:3") == "relu7"
    # All that the fused score depends on goes through pool3, whose map is relu3_3's, pooled.
    assert layer_for(network, "score:3") == "relu3_3"


def test_of_the_embedded_net() -> None:
    network = load_net(device="cpu")
    below = {
        "scores:2": "mixed5",
        "prob:2": "mixed5",
        "mixed4:7": "mixed3",
        "mixed3/5x5:3": "mixed3/5x5_reduce/relu",
        "conv2:1": "conv1/relu",
        "conv1:3": "conv1",  # which has no map below it
        "pool1:1": "conv1/relu",
    }
    assert {target: layer_for(network, target) for target in below} == below


def test_of_several_layers_it_lies_below_all() -> None:
    network = load_net(device="cpu")
    assert layer_for(network, "mixed5:3 + mixed4:2") == "mixed3"
    assert layer_for(network, "mixed4/1x1:3 + mixed4/5x5:2") == "mixed3"
    assert layer_for(network, "scores:3 - prob:2") == "mixed5"


FLAT = "inner_product_param { num_output: 5 weight_filler { type: 'xavier' } }"


def test_normalization_and_pooling_are_above_the_map(tmp_path: Path) -> None:
    body = IMAGE + conv("a", "data", 4, THREE, relu=True)
    pool = "pooling_param { kernel_size: 2 stride: 2 }"
    rest = layer("norm", "LRN", "a") + layer("pool", "Pooling", "norm", more=pool) + layer("drop", "Dropout", "pool")
    head = layer("fc1", "InnerProduct", "drop", more=FLAT) + relu("fc1_relu", "fc1") + layer("fc", "InnerProduct", "fc1", more=FLAT)
    network = open_text(tmp_path, body + rest + head)
    assert layer_for(network, "fc:1") == "a_relu"
    assert layer_for(network, "fc1:1") == "a_relu"
    network = open_text(tmp_path, IMAGE + conv("a", "data", 4, THREE) + layer("drop", "Dropout", "a", "a") + head.replace('"drop"', '"a"'))
    assert layer_for(network, "fc:1") == "a"


def test_a_map_of_one_place_is_none_but_at_a_size_where_it_has_several(tmp_path: Path) -> None:
    text = image_input(shape=(1, 3, 9, 9)) + conv("a", "data", 4, THREE, relu=True) + conv("fc6", "a", 5, "kernel_size: 9", relu=True)
    network = open_text(tmp_path, text + conv("fc7", "fc6", 6))
    assert layer_for(network, "fc7:1") == "a_relu"
    assert layer_for(network, "fc7:1", (12, 10)) == "fc6_relu"


def test_a_map_made_of_the_whole_image_has_no_places_of_it(tmp_path: Path) -> None:
    text = IMAGE + conv("a", "data", 4, THREE, relu=True)
    text += layer("code", "InnerProduct", "a", more="inner_product_param { num_output: 24 weight_filler { type: 'xavier' } }")
    text += layer("laid", "Reshape", "code", more="reshape_param { shape { dim: 0 dim: 2 dim: 3 dim: 4 } }")
    text += conv("b", "laid", 3) + layer("fc", "InnerProduct", "b", more=FLAT)
    assert layer_for(open_text(tmp_path, text), "fc:1") == "a_relu"


def test_nets_without_a_map(tmp_path: Path) -> None:
    head = layer("fc", "InnerProduct", "data", more=FLAT)
    with pytest.raises(UsageError, match=r"the net's input 'data' is a vector of \(7,\)"):
        layer_for(open_text(tmp_path, image_input(shape=(1, 7)) + head), "fc:1")
    with pytest.raises(UsageError, match=r"^objective fc:1 has no layer with a map below it"):
        layer_for(open_text(tmp_path, IMAGE + head), "fc:1")


def test_layers_that_are_named() -> None:
    network = load_net(device="cpu")
    objective = as_objective("mixed4:3").bind(network)
    assert check_map_layer(network, "mixed3", objective, None) == "mixed3"
    assert check_map_layer(network, "mixed4", objective, None) == "mixed4"
    assert check_map_layer(network, "mixed4/1x1/relu", objective, None) == "mixed4/1x1/relu"
    with pytest.raises(UsageError, match=r"^layer 'mixed5' does not lie below objective mixed4:3, which does not depend on it$"):
        check_map_layer(network, "mixed5", objective, None)
    scores = as_objective("scores:3").bind(network)
    with pytest.raises(UsageError, match=r"^layer 'pool5' writes \(\d+, 1, 1\), which is no map"):
        check_map_layer(network, "pool5", scores, None)
    with pytest.raises(TargetError, match="did you mean mixed5"):
        check_map_layer(network, "mixd5", scores, None)


def test_the_value_before_an_in_place_layer_is_not_the_one_after(tmp_path: Path) -> None:
    """With the objective on the value before the ReLU in place, the one after it lies above."""
    network = open_text(tmp_path, IMAGE + conv("a", "data", 4, THREE, relu=True) + conv("b", "a", 4, THREE, relu=True))
    before = as_objective("b:1").bind(network)
    assert check_map_layer(network, "a", before, None) == "a"
    with pytest.raises(UsageError, match="'b_relu' does not lie below"):
        check_map_layer(network, "b_relu", before, None)
