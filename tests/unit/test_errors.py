"""What errors say besides: "did you mean" where a name is near, and nothing where none is."""

from __future__ import annotations

import time

import pytest

from dreamopt.errors import NetError, nearest
from dreamopt.schema import parse_net

ALEX = ["data", "conv1", "relu1", "pool1", "norm1", "conv2", "fc6", "fc7", "fc8", "prob"]
MODELS = ["bvlc_googlenet", "bvlc_alexnet", "salnet", "vgg_cnn_s", "resnet_50", "mobilenet_v2", "densenet_121"]
TYPES = ["Pooling", "PSROIPooling", "BatchNorm", "Flatten", "ELU", "ReLU", "InnerProduct", "Convolution"]


@pytest.mark.parametrize(
    ("name", "names", "near"),
    [
        ("Conv-1", ALEX, ["conv1"]),
        ("cnov2", ALEX, ["conv2"]),
        ("fc9", ALEX, ["fc8", "fc7", "fc6"]),
        ("conv1_1", ALEX, ["conv1"]),
        ("layer5", ALEX, []),
        ("softmax", ALEX, []),
        ("x", ALEX, []),
        ("googlnet", MODELS, ["bvlc_googlenet"]),
        ("vgg", MODELS, ["vgg_cnn_s"]),
        ("lenet", MODELS, []),
        ("bert", MODELS, []),
        ("GELU", TYPES, ["ELU", "ReLU"]),
        ("Attention", TYPES, []),
        ("Proposal", TYPES, []),
        ("BatchNormalization", TYPES, ["BatchNorm"]),
        ("InnerProdcut", TYPES, ["InnerProduct"]),
        ("", TYPES, []),
    ],
)
def test_only_what_is_near_is_suggested(name: str, names: list[str], near: list[str]) -> None:
    assert nearest(name, names) == near


def test_a_blob_that_is_near_none_gets_the_last_ones_above() -> None:
    text = 'input: "data" input_shape { dim: 1 } layer { name: "r" type: "ReLU" bottom: "BOTTOM" top: "r" }'
    with pytest.raises(NetError, match="reads the unknown blob 'dta'; did you mean 'data'"):
        parse_net(text.replace("BOTTOM", "dta"))
    with pytest.raises(NetError, match=r"reads the unknown blob 'features'; the blobs made above it end with 'data'$"):
        parse_net(text.replace("BOTTOM", "features"))


def test_long_names_take_no_long_time() -> None:
    start = time.process_time()
    assert nearest("a" * 10**6, ["b" * 10**5, "a" * 10**5, "conv1"]) == []
    assert time.process_time() - start < 20
