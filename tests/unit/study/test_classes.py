"""Which units are classes, by the layers that follow them in the net's file and by its labels."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt import load_net
from dreamopt.network import Network
from dreamopt.objective import parse
from dreamopt.study.classes import ClassOutput, class_of, class_output
from tests.support.nets import conv, image_input, layer

INNER = "inner_product_param { num_output: %d weight_filler { type: 'xavier' } }"
SIDES = (
    image_input(shape=(1, 3, 9, 8))
    + conv("conv1", "data", 7, "kernel_size: 3", relu=True)
    + layer("side", "InnerProduct", "conv1", more=INNER % 5)
    + layer("side_prob", "Softmax", "side")
    + conv("conv2", "conv1", 5, "kernel_size: 3", relu=True)
    + layer("pool", "Pooling", "conv2", more="pooling_param { pool: AVE global_pooling: true }")
    + layer("flat", "Flatten", "pool")
    + layer("prob", "Softmax", "flat")
)
LOSS = (
    image_input(shape=(1, 3, 9, 8))
    + layer("label", "Input", more="input_param { shape { dim: 1 } }")
    + layer("fc", "InnerProduct", "data", more=INNER % 6)
    + layer("fc8", "InnerProduct", "fc", more=INNER % 5)
)


def net(text: str, tmp_path: Path, labels: tuple[str, ...] | None = None) -> Network:
    path = tmp_path / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the weights are random
        return load_net(path, labels=labels)


def outputs(network: Network, *targets: str) -> list[ClassOutput | None]:
    units = [class_of(network, parse(target).bind(network)) for target in targets]
    return [None if unit is None else unit.output for unit in units]


def test_a_softmax_is_followed_through_layers_that_keep_units_apart(tmp_path: Path) -> None:
    network = net(SIDES, tmp_path)
    side, main = ClassOutput("side_prob", "probabilities", 5), ClassOutput("prob", "probabilities", 5)
    assert outputs(network, "side:1", "side_prob:1", "conv2:4", "conv2_relu:0@centre", "flat:2", "prob:3") == [side, side, *[main] * 4]
    assert outputs(network, "conv1:1", "conv1_relu:6") == [None, None]
    assert class_output(network) == main


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (layer("loss", "SoftmaxWithLoss", "fc8 label"), "logits"),
        (layer("accuracy", "Accuracy", "fc8 label"), "logits"),
        (layer("loss", "SigmoidCrossEntropyLoss", "fc8 targets"), "log odds"),
    ],
    ids=["softmax", "accuracy", "sigmoid"],
)
def test_a_loss_says_what_it_reads(end: str, kind: str, tmp_path: Path) -> None:
    targets = layer("targets", "Input", more="input_param { shape { dim: 1 dim: 5 } }") if "targets" in end else ""
    network = net(LOSS + targets + end, tmp_path)
    assert outputs(network, "fc8:2", "fc:2") == [ClassOutput("fc8", kind, 5), None]
    assert class_output(network) == ClassOutput("fc8", kind, 5)


def test_a_sigmoid_at_the_end_is_a_probability_and_one_within_is_none(tmp_path: Path) -> None:
    text = LOSS.replace('"fc"', '"fc7"') + layer("gate", "Sigmoid", "fc8")
    assert outputs(net(text, tmp_path), "fc8:2") == [ClassOutput("gate", "probabilities", 5)]
    inner = image_input(shape=(1, 3, 9, 8)) + layer("fc6", "InnerProduct", "data", more=INNER % 5) + layer("gate", "Sigmoid", "fc6")
    inner += layer("fc7", "InnerProduct", "gate", more=INNER % 4)
    assert outputs(net(inner, tmp_path), "fc6:2", "fc7:1") == [None, ClassOutput("fc7", "logits", 4)]


def test_labels_decide_which_output_is_one_of_classes(tmp_path: Path) -> None:
    text = image_input(shape=(1, 3, 9, 8)) + conv("conv1", "data", 5, "kernel_size: 3", relu=True)
    names = ("a", "b", "c", "d", "e")
    assert outputs(net(text, tmp_path), "conv1:2") == [None]
    assert outputs(net(text, tmp_path, names), "conv1:2") == [ClassOutput("conv1_relu", "logits", 5)]
    flat = image_input(shape=(1, 3, 9, 8)) + layer("fc7", "InnerProduct", "data", more=INNER % 6)
    assert outputs(net(flat, tmp_path), "fc7:2") == [ClassOutput("fc7", "logits", 6)]
    assert outputs(net(flat, tmp_path, names), "fc7:2") == [None]


def test_probabilities_over_space_are_averaged() -> None:
    values = torch.tensor([[[[0.0, 1.0]], [[2.0, 0.0]], [[0.0, 0.0]]]])
    at = [np.exp([0.0, 2.0, 0.0]) / np.exp([0.0, 2.0, 0.0]).sum(), np.exp([1.0, 0.0, 0.0]) / np.exp([1.0, 0.0, 0.0]).sum()]
    assert ClassOutput("fc8", "logits", 3).probabilities(values)[0].numpy() == pytest.approx(np.mean(at, axis=0), rel=1e-6)
    odds = ClassOutput("fc8", "log odds", 3).probabilities(values)[0].numpy()
    assert odds == pytest.approx([np.mean([0.5, 1 / (1 + np.exp(-1))]), np.mean([1 / (1 + np.exp(-2)), 0.5]), 0.5], rel=1e-6)
    assert ClassOutput("prob", "probabilities", 3).probabilities(values)[0].tolist() == [0.5, 1.0, 0.0]
