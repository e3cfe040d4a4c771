"""``dreamopt inspect``: everything it promises, as a table and as JSON."""

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dreamopt.cli import cli
from dreamopt.cli.inspect import human

NET = """
name: "toy"
input: "data" input_dim: 2 input_dim: 3 input_dim: 11 input_dim: 13
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "left" type: "Convolution" bottom: "conv1" top: "left"
  convolution_param { num_output: 5 kernel_size: 1 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "right" type: "Convolution" bottom: "conv1" top: "right"
  convolution_param { num_output: 2 kernel_size: 1 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "joined" }
"""


def inspect(*words: object) -> Result:
    result = CliRunner().invoke(cli, ["inspect", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    path = tmp_path / "toy.prototxt"
    path.write_text(NET)
    return path


def test_json_holds_all(toy) -> None:
    summary = json.loads(inspect(toy, "--json").stdout)
    assert summary["name"] == "toy"
    assert summary["input"]["shape"] == [3, 11, 13]
    assert summary["input"]["mean"] == [104.0, 117.0, 123.0]
    assert summary["input"]["channel_order"] == "BGR"
    assert summary["input"]["assumed"]
    layers = {layer["name"]: layer for layer in summary["layers"]}
    assert layers["conv1"]["shapes"] == [[4, 9, 11]]
    assert layers["conv1"]["params"] == 4 * 3 * 9 + 4
    assert layers["conv1"]["flops"] >= 4 * 9 * 11 * 27
    assert layers["relu1"]["in_place"]
    assert layers["both"]["targets"] == ["both"]
    assert layers["left"]["place"].endswith(":7")
    assert summary["overwritten"] == {"conv1": ["conv1", "relu1"]}
    assert len(summary["splits"]) == 1
    assert summary["totals"] == {
        "layers": sum(not layer["added"] for layer in summary["layers"]),
        "params": 4 * 27 + 4 + 5 * 4 + 2 * 4,
        "flops": sum(layer["flops"] for layer in summary["layers"]),
        "weights_bytes": 4 * (4 * 27 + 4 + 5 * 4 + 2 * 4),
        "activations_bytes": summary["totals"]["activations_bytes"],
    }
    assert summary["totals"]["activations_bytes"] == 4 * sum(
        math.prod(shape) for layer in summary["layers"] if not (layer["added"] or layer["in_place"]) for shape in layer["shapes"]
    )
    assert any("data" in change for change in summary["changes"])
    assert any("random" in note for note in summary["notes"])
    assert summary["weights_sha256"] is None  # random weights are not drawn to be described


def test_what_is_given_is_not_assumed(toy, tmp_path) -> None:
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    words = ["--mean", "1,2,3", "--channel-order", "rgb", "--scale", "0.5", "--labels", tmp_path / "labels.txt", "--json"]
    summary = json.loads(inspect(toy, *words).stdout)
    assert summary["input"]["mean"] == [1.0, 2.0, 3.0]
    assert summary["input"]["channel_order"] == "RGB"
    assert summary["input"]["scale"] == 0.5
    assert summary["input"]["assumed"] == []
    assert summary["labels"] == 2


def test_the_table_names_what_is_before_and_after(toy) -> None:
    shown = inspect(toy).stdout
    assert "in place; before it: conv1" in shown
    assert "added by Caffe" not in shown
    assert "added by Caffe" in inspect(toy, "--splits").stdout
    assert "layers read one blob: 1; --splits shows them" in shown
    assert "writes joined" in shown
    assert "input data: 3x11x13, BGR, 0-255 minus mean 104, 117, 123, times 1" in shown
    assert "changed on reading: " in shown
    assert "4x9x11" in shown


def test_layers_worth_seeing_are_marked(toy) -> None:
    shown = inspect(toy).stdout
    assert json.loads(inspect(toy, "--json").stdout)["worth_seeing"] == ["relu1", "both"]
    assert [line.split()[0] for line in shown.splitlines() if line.split()[1:2] == ["*"]] == ["relu1", "both"]
    assert "* worth seeing: dreamopt render -t both:0" in shown
    marked = [line.split()[0] for line in inspect().stdout.splitlines() if line.split()[1:2] == ["*"]]
    assert marked == ["conv1/relu", "conv2/relu", "mixed3", "mixed4", "mixed5", "scores"]


def test_the_weights_report(toy, tmp_path) -> None:
    import numpy as np

    from dreamopt.schema import LayerWeights, write_weights

    path = tmp_path / "toy.caffemodel"
    ones = [np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32)]
    write_weights(path, [LayerWeights("conv1", "Convolution", ones), LayerWeights("gone", "Convolution", ones)], None)
    summary = json.loads(inspect(toy, "--weights", path, "--json").stdout)
    assert summary["weights"]["loaded"] == ["conv1"]
    assert summary["weights"]["missing"] == ["left", "right"]
    assert summary["weights"]["unused"] == ["gone"]
    shown = inspect(toy, "--weights", path).stdout
    assert "weights missing (random): left, right" in shown
    assert "weights unused: gone" in shown


def test_counts_for_people() -> None:
    assert [human(count) for count in (7, 999, 1000, 11_700, 999_900, 61_100_840, 1.5e9, 2e12)] == [
        "7",
        "999",
        "1k",
        "11.7k",
        "1000k",
        "61.1M",
        "1.5G",
        "2T",
    ]
