"""Filters before the first ReLU get a hint, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

import dreamopt
from dreamopt.objective.strings import parse
from dreamopt.recipes.linear_targets import linear_hints

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 16 dim: 20 } } }
layer { name: "first" type: "Convolution" bottom: "data" top: "a"
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "scale" type: "Scale" bottom: "a" top: "a" scale_param { filler { value: -2 } } }
layer { name: "second" type: "Convolution" bottom: "a" top: "b"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "c" }
layer { name: "third" type: "Convolution" bottom: "c" top: "d"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "relu3" type: "ReLU" bottom: "d" top: "d" }
"""


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
def test_only_what_is_linear_in_the_image_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    network = dreamopt.load_net(tmp_path / "net.prototxt", device="cpu")
    for target in ("relu:1", "third:1", "relu3:1", "second:1", "scale:1@2,3", "scale"):  # nothing cuts second, and one place has a shape
        assert linear_hints(network, [parse(target)]) == [], target
    [hint, other] = linear_hints(network, [parse("scale:0"), parse("scale:3"), parse("first:2")])
    assert hint.startswith("first lies before the first ReLU")
    assert other.startswith("scale lies before")
    assert hint.endswith("aim after it, at relu")
