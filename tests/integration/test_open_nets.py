"""Nets whose file leaves something open, the input's size or which layers are in it: the options that say it, and are kept."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from dreamopt.cli import cli
from dreamopt.image.files import read_image
from dreamopt.network import load_net

# As a training net is written: a database for each phase, whose pictures' size stands nowhere.
NET = """
name: "digits"
layer { name: "train" type: "Data" top: "data" top: "label" include { phase: TRAIN } data_param { batch_size: 5 } }
layer { name: "test" type: "Data" top: "data" top: "label" include { phase: TEST } data_param { batch_size: 7 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "extra" type: "ReLU" bottom: "conv" top: "extra" include { stage: "more" stage: "most" min_level: 2 } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "drop" include { phase: TRAIN } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" }
"""
STATE = ["--stage", "more", "--stage", "most", "--level", "3"]


@pytest.fixture
def net(tmp_path: Path) -> str:
    path = tmp_path / "digits.prototxt"
    path.write_text(NET)
    return str(path)


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def inspected(*words: object) -> dict[str, object]:
    got = run("inspect", *words, "--json")
    assert got.exit_code == 0, got.output
    found: dict[str, object] = json.loads(got.stdout)
    return found


def names(found: dict[str, object]) -> list[str]:
    return [layer["name"] for layer in found["layers"]]  # type: ignore[attr-defined]


def test_inspect_takes_a_shape(net: str) -> None:
    lacking = run("inspect", net)
    assert lacking.exit_code == 1
    assert f"{net}:4: layer 'test' (Data) fills the blob 'data' with data whose size" in lacking.stderr
    assert lacking.stderr.endswith("(--input-shape data=3x224x224)\n")
    for text, shape in (("1x28x30", [1, 28, 30]), ("data=2x9x11", [2, 9, 11]), ("5x3x8x9", [3, 8, 9])):
        assert inspected(net, "--input-shape", text)["input"]["shape"] == shape  # type: ignore[index]


def test_phase_stage_and_level_choose_layers(net: str) -> None:
    shape = ["--input-shape", "1x28x30"]
    assert names(inspected(net, *shape)) == ["test", "conv"]
    assert names(inspected(net, *shape, "--phase", "train"))[:1] == ["train"]
    assert "drop" in names(inspected(net, *shape, "--phase", "TRAIN"))
    assert names(inspected(net, *shape, *STATE)) == ["test", "conv", "extra"]
    assert "extra" not in names(inspected(net, *shape, *STATE[:4]))
    assert "extra" not in names(inspected(net, *shape, *STATE[2:]))


def test_shapes_that_are_none(net: str) -> None:
    for texts, why in (
        (["1x2x"], "--input-shape 1x2x is no shape; give CxHxW"),
        (["9" * 5000], "is no shape; give CxHxW"),
        (["0x4x4"], "0x4x4 is no shape"),
        (["1x4x4", "1x5x5"], "given twice for the first input"),
        (["1x4x4", "data=1x5x5"], "for several inputs: say which is which"),
        (["image=1x4x4"], "names the blob 'image', but the net's inputs are 'data'"),
    ):
        got = run("inspect", net, *(word for text in texts for word in ("--input-shape", text)))
        assert why in got.stderr


def test_the_picture_keeps_how_the_net_was_read(net: str, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    made = run("render", "--net", net, "-t", "extra:1", "--input-shape", "2x16x18", *STATE, "--phase", "test", "--steps", 2, "-q", "-o", out,
               "--json")  # fmt: skip
    assert made.exit_code == 0, made.output
    picture = json.loads(made.stdout)["pictures"][0]
    load = picture["load"]
    assert (load["input_shape"], load["stage"], load["level"], load["phase"]) == (["2x16x18"], ["more", "most"], 3, "TEST")
    again = run("replay", out, "-q")
    assert "the same pixels" in again.stderr
    words = shlex.split(picture["command"])
    assert words[: words.index("--target")][-10:] == ["--input-shape", "2x16x18", "--phase", "TEST", *STATE]
    first = read_image(out)
    out.unlink()
    assert run(*words[1:], "-q").exit_code == 0
    assert np.array_equal(first, read_image(out))


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")
def test_the_size_of_the_picture_is_enough_where_channels_are_known(net: str, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    words = ["render", "--net", net, "-t", "conv:1", "--size", "18x16", "--steps", 2, "-q", "-o", out]
    unknown = run(*words)
    assert "--input-shape data=3x224x224" in unknown.stderr
    made = run(*words, "--mean", "33,44,55")
    assert made.exit_code == 0, made.output
    assert read_image(out).shape == (16, 18, 3)
    assert "the same pixels" in run("replay", out, "-q").stderr
    for hint, count in (("mean_value: 3 mean_value: 4", 2), ("force_gray: true", 1), ("force_color: true", 3)):
        Path(net).write_text(NET.replace("data_param {", f"transform_param {{ {hint} }} data_param {{"))
        assert load_net(net, default_input_size=(16, 18)).describe()["input_shape"] == [count, 16, 18]


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")
def test_a_size_that_the_file_tells_stays(tmp_path: Path) -> None:
    path = tmp_path / "n.prototxt"
    path.write_text('input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 8\n' + NET.split("\n", 4)[4])
    assert load_net(path, default_input_size=(16, 18)).describe()["input_shape"] == [3, 9, 8]
    path.write_text(path.read_text().replace("input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 8", ""))
    assert load_net(path, default_input_size=(16, 18), mean=[1, 2, 3]).describe()["input_shape"] == [3, 16, 18]
