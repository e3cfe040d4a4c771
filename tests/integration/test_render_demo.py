"""The demo: which layers it shows, and the sheets it writes."""

import importlib.util
from pathlib import Path

import pytest
from click.testing import CliRunner

import dreamopt
from dreamopt.cli import cli
from dreamopt.image.files import read_image, read_metadata
from dreamopt.recipes import Settings
from dreamopt.recipes.demo import Choice, active_channels, choose, demo, trunk

NET = """
name: "branches"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 16 dim: 20 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { filler { value: -2 } bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "left" type: "Convolution" bottom: "conv1" top: "left"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "right" type: "Convolution" bottom: "conv1" top: "right"
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" }
layer { name: "pool" type: "Pooling" bottom: "both" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "scores" type: "InnerProduct" bottom: "pool" top: "scores"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "scores" top: "prob" }
"""
pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose


@pytest.fixture
def network(tmp_path: Path) -> dreamopt.Network:
    (tmp_path / "net.prototxt").write_text(NET)
    return dreamopt.load_net(tmp_path / "net.prototxt", labels=["sun", "moon", "stars", "sea"], device="cpu")


def test_the_trunk_is_what_everything_passes_through(network) -> None:
    # scale1 turns signs round and relu1 cuts, so the filters are shown as relu1 left them; left and right are branches
    assert trunk(network) == ["relu1", "both"]
    assert choose(network, 3) == Choice(("relu1", "both"), "scores", 3)
    assert choose(network, 3).targets(network, "relu1") == ["relu1:0", "relu1:2", "relu1:4"]
    assert choose(network, 9).targets(network, "both") == [f"both:{i}" for i in range(5)]


def test_filters_that_are_dead_at_every_restart_are_left_out(network) -> None:
    net = network.backend.net
    net.params["conv1"][0].data[1] = 0  # its Scale has no bias, so relu1:1 is 0 whatever it sees
    net.params["conv1"][1].data[1] = 0
    assert active_channels(network, "relu1") == [0, 2, 3, 4, 5]
    assert choose(network, 2).targets(network, "relu1") == ["relu1:0", "relu1:3"]


def test_the_sheets_and_their_pictures(network, tmp_path) -> None:
    paths = demo(network, tmp_path / "demo", Settings(steps=2), what=choose(network, 3))
    assert [path.name for path in paths] == ["filters.png", "classes.png"]
    assert read_image(paths[0]).shape[1] == 8 + 3 * 28
    metadata = read_metadata(paths[1])
    assert [picture["label"] for picture in metadata["pictures"]] == ["sun", "moon", "stars", "sea"]
    assert {path.name for path in (tmp_path / "demo" / "classes").iterdir()} == {f"scores-{i}.png" for i in range(4)}
    assert read_metadata(tmp_path / "demo" / "filters" / "both-1.png")["target"] == "both:1"


def test_an_interrupted_demo_keeps_what_it_has(network, tmp_path) -> None:
    calls = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) > 2

    paths = demo(network, tmp_path, Settings(steps=50), what=choose(network, 3), stop=stop)
    assert [path.name for path in paths] == ["filters.png"]


def test_the_command_renders_the_embedded_net(network, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("dreamopt.network.load_net", lambda: network)
    result = CliRunner().invoke(cli, ["demo", "-o", str(tmp_path / "out"), "--steps", "2", "--filters", "2"])
    assert result.exit_code == 0, result.output
    made = [tmp_path / "out" / name for name in ("dream.png", "filters.png", "classes.png", "atlas/index.html", "zoom.mp4")]
    if importlib.util.find_spec("av") is None:
        made[-1] = tmp_path / "out" / "zoom.gif"
    assert result.stdout.split() == list(map(str, made))
    assert all(path.is_file() for path in made)
    assert read_image(made[0]).shape == (160, 240, 3)
    assert not list(tmp_path.glob("out/zoom*.frames"))
    assert "steps/s" in result.stderr
    assert "minutes on two cores" in result.stderr.splitlines()[0]
