"""The layer that is chosen to dream on, and the one that would do where another cannot be computed: by structure alone."""

import random
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from dreamopt.errors import ShapeError, UsageError
from dreamopt.network import Network, load_net
from dreamopt.network.choice import choose_layer
from dreamopt.network.maps import in_tiles, maps_of, nearest_layer
from tests.support.nets import conv, image_input, layer, relu
from tests.support.oracle import public_nets

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose

IMAGE = image_input(shape=(1, 3, 40, 48))
THREE = "kernel_size: 3 pad: 1"
CHOSEN = {
    "googlenet": "inception_4c/output",  # DeepDream's own
    "alexnet": "relu4",
    "caffenet": "relu4",
    "caffenet_yos_v1": "relu4",
    "vgg_cnn_s_v1": "relu4",
    "resnet50": "res4c_relu",
    "mobilenet": "relu5_2/sep",
    "fcn8s_pascal_val": "relu4_3",  # not the decoder
}
BUILT = {
    "vgg16": "relu4_1",
    "vgg19_v1": "relu4_2",
    "nin": "relu31",
    "resnext": "res4b2_relu",
    "densenet": "concat_4_1",
    "mobilenet_v2": "block_5_2",
    "inception_v3": "mixed_4/join",
    "inception_resnet": "a3_relu",
    "v0": "relu2",
}


def open_text(tmp_path: Path, text: str, **options: Any) -> Network:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return load_net(path, device="cpu", **options)


def shared_net(shared: Path, name: str) -> str:
    return (shared / "nets" / f"{name}.prototxt").read_text()


def renamed(text: str, seed: int) -> tuple[str, dict[str, str]]:
    """Return a net whose layers and blobs have names of no meaning, and the old name of each new one."""
    names = sorted(set(re.findall(r'\b(?:name|top|bottom|input):\s*"([^"]+)"', text)))
    numbers = list(range(len(names)))
    random.Random(seed).shuffle(numbers)
    new = {old: f"n{number}" for old, number in zip(names, numbers, strict=True)}
    swapped = re.sub(r'\b(name|top|bottom|input):(\s*)"([^"]+)"', lambda found: f'{found[1]}:{found[2]}"{new[found[3]]}"', text)
    return swapped, {value: key for key, value in new.items()}


@pytest.mark.parametrize("name", CHOSEN)
def test_of_published_nets(name: str, shared: Path, tmp_path: Path) -> None:
    options = {"input_shape": {"data": (1, 3, 500, 500)}} if "fcn" in name else {}
    net = open_text(tmp_path, shared_net(shared, name), **options)
    assert choose_layer(net) == CHOSEN[name]
    assert choose_layer(net, (577, 1025)) == CHOSEN[name]


@pytest.mark.parametrize("name", ["googlenet", "resnet50", "caffenet_yos_v1"])
def test_names_mean_nothing(name: str, shared: Path, tmp_path: Path) -> None:
    text, old = renamed(shared_net(shared, name), 3)
    assert old[choose_layer(open_text(tmp_path, text))] == CHOSEN[name]


@pytest.mark.parametrize("name", BUILT)
def test_of_nets_built_like_published_ones(name: str, tmp_path: Path) -> None:
    text = getattr(public_nets, name)()
    assert choose_layer(open_text(tmp_path, text)) == BUILT[name]


def test_of_squeezenet_and_the_embedded_net(shared: Path) -> None:
    assert choose_layer(load_net(shared / "models/squeezenet/deploy.prototxt", device="cpu")) == "fire6/concat"
    assert choose_layer(load_net(device="cpu")) == "mixed4"


def test_an_auxiliary_head_is_not_the_trunk(tmp_path: Path) -> None:
    body = IMAGE + conv("a", "data", 4, THREE, relu=True) + conv("b", "a", 4, THREE, relu=True) + conv("c", "b", 4, THREE, relu=True)
    head = conv("head1", "a", 4, THREE, relu=True) + conv("head2", "head1", 4, THREE)
    assert choose_layer(open_text(tmp_path, body + conv("d", "c", 4, THREE) + conv("e", "d", 4, THREE) + head)) == "d"


def test_a_decoder_is_not_the_trunk(tmp_path: Path) -> None:
    down = IMAGE + conv("a", "data", 4, THREE + " stride: 2", relu=True) + conv("b", "a", 6, THREE + " stride: 2", relu=True)
    up = layer("up1", "Deconvolution", "b", more="convolution_param { num_output: 6 kernel_size: 2 stride: 2 }")
    join = layer("join", "Concat", "up1 a") + conv("c", "join", 5, THREE, relu=True) + conv("d", "c", 5, THREE, relu=True)
    net = open_text(tmp_path, down + up + join)
    assert choose_layer(net) == "b_relu"
    names = {net.graph.name(*value) for value in maps_of(net)}
    assert names == {"data", "a", "a_relu", "b", "b_relu"}


def test_a_factor_made_of_the_whole_image_leaves_a_map_but_no_tiles(tmp_path: Path) -> None:
    """Squeeze and excitation: the places stay, and each depends on all of the image."""
    squeeze = layer("pool", "Pooling", "b", more="pooling_param { pool: AVE global_pooling: true }") + conv("fc", "pool", 6)
    gate = layer("gate", "Sigmoid", "fc") + layer("flat", "Flatten", "gate")
    text = IMAGE + conv("a", "data", 4, THREE, relu=True) + conv("b", "a", 6, THREE, relu=True) + squeeze + gate
    text += layer("scaled", "Scale", "b flat", more="scale_param { axis: 0 }") + conv("c", "scaled", 5, THREE + " stride: 2", relu=True)
    text += conv("d", "c", 5, THREE)
    net = open_text(tmp_path, text)
    assert maps_of(net)[net.graph.value("c")].stride == (Fraction(2), Fraction(2))
    assert "gate" not in {net.graph.name(*value) for value in maps_of(net)}
    assert not in_tiles(net, "c_relu")
    assert in_tiles(net, "b_relu")
    assert nearest_layer(net, "d", (3, 40, 48)) == "c_relu"
    assert nearest_layer(net, "d", (3, 40, 48), tiles=True) == "b_relu"


def test_an_image_that_has_to_be_computed_in_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = IMAGE + "".join(conv(f"c{i}", f"c{i - 1}" if i else "data", 4, THREE, relu=True) for i in range(5))
    across = layer("whole", "MVN", "c2", "c2", more="")
    net = open_text(tmp_path, text.replace('layer { name: "c3"', across + 'layer { name: "c3"', 1))
    assert choose_layer(net) == "c3_relu"
    monkeypatch.setattr("dreamopt.network.choice.free_memory", lambda device: 4000)
    assert choose_layer(net) == "c2_relu"


def test_too_small_an_image_takes_a_layer_below(shared: Path, tmp_path: Path) -> None:
    net = open_text(tmp_path, shared_net(shared, "caffenet"))
    assert choose_layer(net, 20) == "relu2"
    assert choose_layer(net, 400, smaller=[20]) == "relu2"
    with pytest.raises(ShapeError, match=r"an image of 4 x 3 pixels is too small for the net: even its layer 'relu1' cannot be computed"):
        choose_layer(open_text(tmp_path, IMAGE + conv("c", "data", 4, "kernel_size: 11") + relu("relu1", "c")), (3, 4))


def test_a_net_of_one_convolution(tmp_path: Path) -> None:
    assert choose_layer(open_text(tmp_path, IMAGE + conv("only", "data", 5))) == "only"
    assert choose_layer(open_text(tmp_path, IMAGE + conv("only", "data", 5, relu=True))) == "only_relu"
    pooled = layer("pool", "Pooling", "only", more="pooling_param { kernel_size: 2 stride: 2 }")
    assert choose_layer(open_text(tmp_path, IMAGE + conv("only", "data", 5) + pooled + relu("relu", "pool"))) == "relu"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (IMAGE + layer("fc", "InnerProduct", "data", more="inner_product_param { num_output: 3 }"), r"no layer of the net has a map.*'fc'"),
        (
            image_input(shape=(1, 7)) + layer("fc", "InnerProduct", "data", more="inner_product_param { num_output: 3 }"),
            r"a vector of \(7,\)",
        ),
        (IMAGE, "no layer of the net has a map"),
    ],
)
def test_nets_without_a_map(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        choose_layer(open_text(tmp_path, text))


def test_a_layer_that_an_image_cannot_reach_is_refused_with_the_one_that_would_do(shared: Path, tmp_path: Path) -> None:
    net = open_text(tmp_path, shared_net(shared, "googlenet"))
    for size, nearest in (((1080, 1920), "inception_5b/output"), (20, "inception_4e/output"), (8, "inception_3b/output")):
        with pytest.raises(ShapeError, match=f"'prob' cannot be reached .* or layer '{nearest}', the highest below it that can$"):
            net.shape_of("prob", size)
        net.shape_of(nearest, size)
    alone = open_text(tmp_path, IMAGE + conv("c", "data", 4, "kernel_size: 11"))
    with pytest.raises(ShapeError, match=r"use the file's size, \(3, 40, 48\)$"):
        alone.shape_of("c", 9)


def is_cut(net: Network, value: tuple[int, int], end: tuple[int, int]) -> bool:
    """Return whether every path down from ``end`` to the image goes through ``value``."""
    waiting, seen = [end], {value}
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if net.input_name in net.layers[one[0]].tops and not net.layers[one[0]].bottoms:
            return False
        waiting += net.graph.reads[one[0]]
    return True


@pytest.mark.parametrize("name", ["alexnet", "caffenet_yos_v1", "googlenet", "mobilenet", "resnet50", "vgg_cnn_s_v1"])
def test_the_layer_that_is_named_is_the_highest_of_the_trunk(name: str, shared: Path, tmp_path: Path) -> None:
    net = open_text(tmp_path, shared_net(shared, name))
    maps, end = maps_of(net), net.graph.value("prob")
    trunk = {net.graph.name(*value): maps[value].depth for value in maps if maps[value].depth and is_cut(net, value, end)}
    differ = set()
    for side in (5, 9, 17, 33, 90):
        reached = {layer: depth for layer, depth in trunk.items() if can_be_computed(net, layer, (side, side + 7))}
        nearest = nearest_layer(net, "prob", (3, side, side + 7))
        if nearest is None:
            assert not reached
        else:
            assert reached[nearest] == max(reached.values())
        differ.add(nearest)
    assert len(differ) > 1 or name in ("mobilenet", "resnet50")  # which take any size


def test_what_a_crop_takes_its_size_from_is_no_path(shared: Path, tmp_path: Path) -> None:
    net = open_text(tmp_path, shared_net(shared, "fcn8s_pascal_val"), input_shape={"data": (1, 3, 500, 500)})
    assert nearest_layer(net, "score", (3, 64, 70)) == "relu3_3"  # below the first part that skips what follows
    assert nearest_layer(net, "score_fr", (3, 64, 70)) == "relu7"


def can_be_computed(net: Network, layer: str, size: tuple[int, int]) -> bool:
    try:
        net.shape_of(layer, size)
    except ShapeError:
        return False
    return True
