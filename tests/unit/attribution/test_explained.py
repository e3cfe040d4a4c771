"""What is explained: the classes of nets of all kinds, and what kind of number a unit's value is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamopt import attribute
from dreamopt.attribution.attribute import Explained
from dreamopt.attribution.explained import class_layer, class_pass, explains, scores_of
from dreamopt.backends.engine import EngineBackend
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.engine.net import Net
from dreamopt.errors import ObjectiveError, UsageError
from dreamopt.network import Network
from dreamopt.network.class_layer import class_values
from dreamopt.network.preprocessing import preprocessing_of
from dreamopt.objective import as_objective
from dreamopt.schema import parse_net

CONV = 'convolution_param { num_output: %d kernel_size: 3 weight_filler { type: "xavier" } }'
FC = 'inner_product_param { num_output: %d weight_filler { type: "xavier" } }'


def layer(name: str, kind: str, bottom: str, top: str = "", parameters: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top or name}" {parameters} }}\n'


def network(*layers: str, labels: list[str] | None = None, channels: int = 3) -> Network:
    data = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: {channels} dim: 11 dim: 9 }} }} }}\n'
    return Network(EngineBackend(Net(parse_net(data + "".join(layers), "net"), seed=3)), labels=labels)


CONV1 = layer("conv1", "Convolution", "data", parameters=CONV % 5)
CLASSIFIER = CONV1 + layer("fc", "InnerProduct", "conv1", parameters=FC % 6)
MEAN = "pooling_param { pool: AVE global_pooling: true }"

CASES = {
    "a Softmax": (CLASSIFIER + layer("prob", "Softmax", "fc"), "fc", "a logit (layer 'fc', before the Softmax 'prob')"),
    "a Sigmoid": (CLASSIFIER + layer("on", "Sigmoid", "fc"), "fc", "a logit (layer 'fc', before the Sigmoid 'on')"),
    "no Softmax": (CLASSIFIER, "fc", "a class score (layer 'fc', the net's output; no Softmax follows)"),
    "a Dropout between": (
        CLASSIFIER + layer("drop", "Dropout", "fc", "fc") + layer("prob", "Softmax", "fc"),
        "drop",
        "a logit (layer 'drop', before the Softmax 'prob')",
    ),
    "a Flatten behind the Softmax": (
        CONV1 + layer("mean", "Pooling", "conv1", parameters=MEAN) + layer("prob", "Softmax", "mean") + layer("flat", "Flatten", "prob"),
        "mean",
        "a logit (layer 'mean', before the Softmax 'prob')",
    ),
    "auxiliary heads": (
        CLASSIFIER
        + layer("aux", "Softmax", "fc")
        + layer("conv2", "Convolution", "conv1", parameters=CONV % 4)
        + layer("fc2", "InnerProduct", "conv2", parameters=FC % 6)
        + layer("prob", "Softmax", "fc2"),
        "fc2",
        "a logit (layer 'fc2', before the Softmax 'prob')",
    ),
    "boxes behind the classes": (
        CLASSIFIER + layer("prob", "Softmax", "fc") + layer("boxes", "InnerProduct", "conv1", parameters=FC % 24),
        "fc",
        "a logit (layer 'fc', before the Softmax 'prob')",
    ),
    "an ArgMax": (
        CLASSIFIER + layer("best", "ArgMax", "fc"),
        "fc",
        "a class score (layer 'fc', the net's output; no Softmax follows)",
    ),
    "maps of classes": (CONV1, "conv1", "an activation (layer 'conv1', Convolution, an output of the net)"),
    "maps with a Softmax": (CONV1 + layer("prob", "Softmax", "conv1"), "conv1", "a logit (layer 'conv1', before the Softmax 'prob')"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_layer_of_the_classes(name: str) -> None:
    layers, expected, words = CASES[name]
    net = network(layers)
    assert class_layer(net) == expected
    assert explains(net, as_objective(f"{expected}:1")) == words
    images = torch.randn(3, 3, 11, 9, generator=torch.Generator().manual_seed(0)) * 50
    scores = net.activations(images, [expected])[expected]
    tops = scores_of(class_pass(net, images, backward=False)).argmax(1).tolist()
    assert tops == scores.reshape(*scores.shape[:2], -1).mean(2).argmax(1).tolist()


@pytest.mark.parametrize(
    ("layers", "objective", "words"),
    [
        (
            CASES["a Softmax"][0],
            "prob:2",
            "a probability (layer 'prob', Softmax); its gradient also falls with what speaks for other classes",
        ),
        (CASES["a Dropout between"][0], "fc:2", "a logit (layer 'fc', before the Softmax 'prob')"),
        (CASES["a Flatten behind the Softmax"][0], "conv1:2", "a logit (layer 'conv1', before the Softmax 'prob')"),
        (CASES["a Flatten behind the Softmax"][0], "flat:2", "a probability (layer 'flat'); its gradient also falls with what speaks for"),
        (CASES["a Softmax"][0], "conv1:2", "an activation (layer 'conv1', Convolution)"),
        (
            CASES["a Softmax"][0],
            "fc:2 - conv1:1",
            "Sum of a logit (layer 'fc', before the Softmax 'prob'), an activation (layer 'conv1', Conv",
        ),
    ],
)
def test_what_kind_of_number_it_is(layers: str, objective: str, words: str) -> None:
    assert explains(network(layers), as_objective(objective)).startswith(words)


def test_labels_choose_among_outputs_without_a_softmax() -> None:
    heads = CLASSIFIER + layer("boxes", "InnerProduct", "conv1", parameters=FC % 24)
    assert class_layer(network(heads)) == "boxes"
    assert class_layer(network(heads, labels=list("abcdef"))) == "fc"


def test_heads_that_a_loss_judges_and_all_that_holds_their_classes() -> None:
    number = 'layer { name: "number" type: "Input" top: "number" input_param { shape { dim: 1 } } }'
    judged = [layer(name, kind, "scaled", parameters='bottom: "number"') for name, kind in (("judged", "HingeLoss"), ("hits", "Accuracy"))]
    net = network(number, CLASSIFIER, layer("scaled", "Scale", "fc"), *judged, labels=list("abcdef"))
    assert class_layer(net) == "scaled"
    assert {net.graph.name(*value) for value in class_values(net)} == {"fc", "scaled"}
    beside = CLASSIFIER + layer("prob", "Softmax", "fc") + layer("aux", "InnerProduct", "conv1", parameters=FC % 6)
    net = network(beside + layer("aux/prob", "Softmax", "aux"))
    assert {net.graph.name(*value) for value in class_values(net, labelled=False)} == {"fc", "prob", "aux", "aux/prob"}
    assert class_values(net) == frozenset()
    assert class_values(network(beside, labels=list("abcde"))) == frozenset()


@pytest.mark.parametrize("layers", [layer("colours", "Convolution", "data", parameters=CONV % 3), layer("pool", "ArgMax", "data")])
def test_a_net_without_classes_says_so(layers: str) -> None:
    with pytest.raises(UsageError, match="the net has no class scores; name what is to be explained with -t"):
        attribute(network(layers), np.zeros((11, 9, 3)))


def test_each_image_has_its_own_class_and_each_method_its_list() -> None:
    net = network(CASES["a Softmax"][0], labels=["ant", "bee", "cat", "dog", "emu", "fox"])
    images = [np.random.default_rng(i).integers(0, 255, (11, 9, 3)) for i in range(4)]
    found = attribute(net, images, None, ["gradient", "saliency"])
    explained = Explained.of(net, images)
    assert explained.class_scores is not None
    torch.testing.assert_close(explained.class_scores, scores_of(class_pass(net, explained.images, backward=False)))
    tops = explained.class_scores.argmax(1).tolist()
    assert len(set(tops)) > 1
    for (gradient, saliency), top, row in zip(found, tops, explained.class_scores, strict=True):
        assert (gradient.method, saliency.method) == ("gradient", "saliency")
        assert gradient.objective == saliency.objective == f"fc:{top}"
        assert gradient.label == ["ant", "bee", "cat", "dog", "emu", "fox"][top]
        assert gradient.score == pytest.approx(float(row.max()), rel=1e-5)
        np.testing.assert_allclose(saliency.array, np.abs(gradient.array).max(2), rtol=1e-5)
    assert [one.method for one in attribute(net, images[0], "fc:2", ["saliency", "gradient"])] == ["saliency", "gradient"]


@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_the_array_is_red_green_blue(order: str) -> None:
    net = network(layer("conv1", "Convolution", "data", parameters=CONV % 1))
    assert isinstance(net.backend, EngineBackend)
    weights = net.backend.net.params["conv1"]
    with torch.no_grad():
        weights[0].data[...] = 0
        weights[0].data[0, 0] = 1  # it reads the first channel alone
    named = Network(net.backend, preprocessing_of(3, order=order))
    array = attribute(named, np.full((11, 9, 3), 90), "conv1:0@4,3", "gradient").array
    expected = np.zeros((11, 9, 3))
    expected[4:7, 3:6, 0 if order == "RGB" else 2] = 1
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("channels", [2, 5])
def test_a_map_lies_over_the_mean_of_other_numbers_of_channels(channels: int) -> None:
    net = network(layer("conv1", "Convolution", "data", parameters=CONV % 2), channels=channels)
    levels = np.random.default_rng(0).integers(0, 256, (channels, 11, 9))
    found = attribute(net, torch.from_numpy(levels.astype(np.float32)), "conv1:1", "gradient")
    assert found.array.shape == (11, 9, channels)
    assert found.image is not None
    assert found.image.shape == found.overlay().shape == (11, 9, 3)
    grey = np.rint(net.to_rgb(torch.from_numpy(levels.astype(np.float32))[None], "0")[0].numpy())
    assert np.abs(grey[..., 0] - levels[0]).max() <= 1  # its input space is grey levels
    np.testing.assert_allclose(found.image, np.repeat(levels.mean(0)[..., None], 3, axis=2), atol=1)
    assert found._repr_png_().startswith(b"\x89PNG")


def test_one_pass_gives_map_and_score(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(CASES["a Softmax"][0])
    passed: list[int] = []
    attribute(net, [np.zeros((11, 9, 3))] * 2, "fc:1", "saliency", progress=passed.append)
    assert passed == [2]


def test_a_score_that_is_not_finite_is_refused_with_the_layer_where_that_begins() -> None:
    functions = [("low", "Power", lambda x: x - 1000), ("log", "Log", torch.log), ("mean", "Pooling", lambda x: x.mean((2, 3)))]
    net = Network(FunctionBackend(functions, (3, 5, 4)))
    with pytest.raises(ObjectiveError, match=r"^saliency of mean:1 gives numbers that are not finite: layer 'log' \(Log\) is the first"):
        attribute(net, np.full((5, 4, 3), 90), "mean:1")
