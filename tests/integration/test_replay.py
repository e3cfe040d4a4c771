"""Images made before are made again: those of format 1 too, and a file that has changed is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import dreamopt
from dreamopt.cli import cli
from dreamopt.image.files import read_metadata, read_written, write_image
from dreamopt.recipes import Plan, replay
from dreamopt.recipes.inputs import RecordedInputs

FORMAT_1 = Path(__file__).parents[1] / "data" / "format1"
GREY_LEVELS = 2
"""How far other processors' roundings may move a pixel in the few steps of these images; where they were made it is none."""
CHAOTIC = "stages"
"""In these steps a rounding grows: by the version that made it, a start times 1 + 1e-7 ends with a fifth of the pixels elsewhere."""
pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.mark.parametrize("name", ["plain", "restarts", "octaves", "stages"])
def test_images_of_format_1_replay(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FORMAT_1)
    metadata, before = read_metadata(f"{name}.png"), read_written(f"{name}.png")
    assert metadata["format"] == 1
    network = dreamopt.load_net("toy.prototxt", device="cpu")
    # The weights are drawn anew, and elsewhere may be another rounding.
    metadata["net"]["weights_sha256"] = network.hash()
    again = replay(network, metadata, files=["photo.png"])
    assert again.image.shape == before.shape
    assert again.metadata["first_value"] == pytest.approx(metadata["first_value"], rel=1e-3)
    if name != CHAOTIC:
        assert np.abs(again.image.astype(int) - before).max() <= GREY_LEVELS
        assert again.value == pytest.approx(metadata["value"], rel=1e-3)
    assert again.dead is None
    # What is written now is format 2, and tells of the same image.
    written = read_metadata(write_image(tmp_path / "again.png", again.image, again.metadata))
    assert written["format"] == 2
    inputs = RecordedInputs(written["inputs"], FORMAT_1)
    assert Plan.read(written, inputs).project_every_step
    assert np.array_equal(replay(network, written, folder=FORMAT_1).image, again.image)


def test_restarts_of_format_1_are_those_of_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FORMAT_1)
    network = dreamopt.load_net("toy.prototxt", device="cpu")
    metadata = read_metadata("restarts.png")
    metadata["net"]["weights_sha256"] = network.hash()
    start = replay(network, metadata).metadata["start"]
    assert start["seed"] == metadata["start"]["seed"] == 4
    assert start["power"] == metadata["start"]["power"] == 2.0
    assert start["restart"] == 4


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    y, x = np.mgrid[:41, :47]
    Image.fromarray(np.stack([y * 6, x * 5, (x + y) * 2], -1).astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_an_input_that_changed_is_named(tmp_path: Path, photo: Path) -> None:
    out = tmp_path / "a.png"
    words = ["-t", "conv2:3", "--size", 32, "--steps", 2, "--device", "cpu", "-q", "--init", photo]
    assert call("render", *words, "-o", out).exit_code == 0
    assert "the same pixels." in call("replay", out, "-q").stderr
    Image.fromarray(np.full((41, 47, 3), 77, np.uint8)).save(photo)
    refused = call("replay", out, "-q")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("dreamopt: error: the metadata of ")
    assert f"init '{photo}', the file of this name beside the image has changed since" in refused.stderr
    assert refused.stderr.endswith(f": if you trust it, type dreamopt replay {out} --init {photo}\n")
    changed = call("replay", out, "-q", "--init", photo)
    assert changed.exit_code == 0
    assert "differs by up to" in changed.stderr
    assert f"{photo} has changed" in changed.stderr
    photo.unlink()
    missing = call("replay", out, "-q")
    assert missing.exit_code == 1
    assert str(photo) in missing.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--tv", "1e-6", "--blur", "0", "--jitter", "0", "--transform", "flip()", "--lr", "3", "--noise", "9", "--seed", "5"],
        ["--octaves", "2", "--octave-scale", "1.3", "--optimizer", "lbfgs", "--stretch"],
        ["--set", 'stages=[{"steps": 2}, {"zoom": 1.2, "layer": "conv1", "regularizers": ["l1(0.1)"]}]', "--set", "transforms=[]"],
        ["--redirected", "2", "--views", "2", "--transparency", "--variants", "2", "-r", "gaussian_blur(0.7)"],
    ],
    ids=["numbers", "octaves", "stages", "views"],
)
def test_the_command_makes_the_same_plan(tmp_path: Path, words: list[str]) -> None:
    import shlex

    out = tmp_path / "a.png"
    shared = ["-t", "conv2:3@centre", "-t", "scores:stars", "--size", "40x32", "--steps", 2, "--device", "cpu", "-q"]
    assert call("render", *shared, *words, "-o", out).exit_code == 0
    before = read_metadata(out)
    command = shlex.split(before["command"])
    again = call(*command[1:], "--force")
    assert again.exit_code == 0, again.output
    after = read_metadata(out)
    assert after["plan"] == before["plan"]
    assert after["command"] == before["command"]
