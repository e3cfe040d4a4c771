"""Every layer type with bottoms that have no axis, no samples, no channels or no places: it computes, or says by one sentence that it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import dreamopt
import dreamopt.caffe as caffe
from dreamopt.engine.layer_types import known_types, layer_class
from dreamopt.errors import DreamoptError, NetError, ShapeError
from dreamopt.testing.layers import layer_text

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
SHAPES = ((), (0,), (3,), (0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 0), (2, 3))
CHAIN = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 9 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 3 group: 1 dilation: 2 } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "m" type: "MVN" bottom: "p" top: "m" }
layer { name: "n" type: "LRN" bottom: "m" top: "n" }
layer { name: "f" type: "InnerProduct" bottom: "n" top: "f" inner_product_param { num_output: 5 } }
layer { name: "s" type: "Softmax" bottom: "f" top: "s" }"""


@pytest.mark.parametrize("name", known_types())
def test_a_layer_computes_or_says_that_it_cannot(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    for example in layer_class(name, name, "").examples[:1]:
        for shape in SHAPES if example.shapes else ():
            path.write_text(layer_text(name, replace(example, shapes=(shape, *example.shapes[1:]))), encoding="utf-8")
            try:
                net = caffe.Net(str(path), caffe.TEST)
                net.forward()
            except DreamoptError as error:
                message = str(error)
            else:
                continue
            assert message.isprintable()
            assert "example" in message or "net.prototxt" in message, message


def test_an_empty_batch_passes_through_a_net(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(CHAIN, encoding="utf-8")
    network = dreamopt.load_net(path, device="cpu")
    images = torch.zeros(0, 3, 8, 9, requires_grad=True)
    top = network.activations(images, ["s"])["s"]
    assert top.shape == (0, 5)
    top.sum().backward()
    assert images.grad is not None
    assert images.grad.shape == (0, 3, 8, 9)
    net = caffe.Net(str(path), caffe.TEST)
    net.blobs["data"].reshape(0, 3, 8, 9)
    assert net.forward()["s"].shape == (0, 5)
    with pytest.raises(ShapeError, match="the net's input holds no samples: its batch is 0"):
        net.forward_all(data=np.zeros((2, 3, 8, 9), np.float32))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            'type: "EuclideanLoss" bottom: "none" bottom: "none" top: "t"',
            r"net.prototxt:2: layer 'l' \(EuclideanLoss\): cannot take a single number",
        ),
        ('type: "Split" top: "t"', r"layer 'l' \(Split\) has no bottom"),
    ],
)
def test_a_layer_without_axes_or_bottoms_is_named(layer: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(f'layer {{ name: "p" type: "Parameter" top: "none" }}\nlayer {{ name: "l" {layer} }}', encoding="utf-8")
    with pytest.raises(NetError, match=message):
        caffe.Net(str(path), caffe.TEST)
