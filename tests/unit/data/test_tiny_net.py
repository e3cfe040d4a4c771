"""The embedded net: size, labels, accuracy on images it has never seen."""

from pathlib import Path

import numpy as np
import pytest
import torch

import dreamopt.data
from dreamopt.data.textures import CLASSES, batch
from dreamopt.engine.net import Net
from dreamopt.schema import read_net, read_weights
from tools.train_tiny import HELD_OUT_SEED, to_input

DATA = Path(dreamopt.data.__file__).parent


def test_it_is_small() -> None:
    assert (DATA / "tiny.caffemodel").stat().st_size <= 2_000_000


def test_labels_are_the_classes_in_the_order_of_the_scores() -> None:
    labels = (DATA / "tiny.txt").read_text().splitlines()
    assert tuple(labels) == CLASSES
    assert len(labels) >= 24
    scores = {layer.name: layer for layer in read_net(DATA / "tiny.prototxt").param.layer}["scores"]
    assert scores.inner_product_param.num_output == len(labels)


def test_it_has_the_kinds_of_layer_that_a_first_look_should_meet() -> None:
    layers = read_net(DATA / "tiny.prototxt").param.layer
    assert {"Convolution", "BatchNorm", "Scale", "ReLU", "Pooling", "Concat", "InnerProduct", "Softmax"} <= {layer.type for layer in layers}
    assert any(layer.type == "ReLU" and layer.top[0] == layer.bottom[0] for layer in layers)
    assert [layer.name for layer in layers[-2:]] == ["scores", "prob"]


def test_every_weight_of_the_file_is_finite_and_used() -> None:
    stored = read_weights(DATA / "tiny.caffemodel")
    assert all(np.isfinite(blob).all() for layer in stored for blob in layer.blobs)
    net = Net(DATA / "tiny.prototxt", DATA / "tiny.caffemodel")
    assert set(net.params) == {layer.name for layer in stored if layer.blobs}
    assert not net.weights_report.missing
    assert not net.weights_report.unused


def test_held_out_accuracy_is_above_95_percent() -> None:
    program = Net(DATA / "tiny.prototxt", DATA / "tiny.caffemodel").program(["scores"])
    labels = list(range(len(CLASSES)))
    right = []
    for k in range(12):
        x = to_input(batch(labels, 7000 + k, HELD_OUT_SEED + 1, held_out=True))
        with torch.no_grad():
            right.append((program({"data": x})["scores"].argmax(1) == torch.tensor(labels)).numpy())
    assert np.mean(right) > 0.95, dict(zip(CLASSES, np.mean(right, 0), strict=True))


@pytest.mark.parametrize("size", [(1, 3, 65, 130), (2, 3, 160, 97)])
def test_any_size_gives_scores(size: tuple[int, ...]) -> None:
    program = Net(DATA / "tiny.prototxt", DATA / "tiny.caffemodel").program(["scores"])
    assert program({"data": torch.zeros(size)})["scores"].shape == (size[0], len(CLASSES))
