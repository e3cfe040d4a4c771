"""A dream: a plan of one image that begins with the image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import ImageError, UsageError
from dreamopt.image.files import read_metadata, read_png
from dreamopt.recipes import InitImage, plan_dream, plan_render
from dreamopt.recipes.preset import resolve_settings

QUICK = {"octaves": 2, "steps": 2}


@pytest.fixture(scope="module")
def network() -> dreamopt.Network:
    return dreamopt.load_net(device="cpu")


@pytest.fixture
def pixels() -> np.ndarray:
    y, x = np.mgrid[:41, :53]
    return np.stack([y * 6, x * 4, (x + y) * 2], -1).astype(np.uint8)


@pytest.fixture
def photo(tmp_path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def dream_by_command(*words: object) -> str:
    result = CliRunner().invoke(cli, ["dream", *map(str, words), "--device", "cpu", "-q"])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_dream_is_the_preset_started_from_the_image_at_its_own_size(network, photo, pixels) -> None:
    one = dreamopt.dream(network, photo, "mixed3", **QUICK)
    [same] = dreamopt.render(network, "mixed3", resolve_settings("deepdream2015", QUICK | {"init": str(photo)}))
    assert one.image.shape == pixels.shape
    assert np.array_equal(one.image, same.image)
    assert np.abs(one.image.astype(int) - pixels).mean() > 1
    assert one.metadata["settings"]["octaves"] == 2
    assert one.metadata["recipe"] == "dream"


def test_a_path_and_its_array_give_the_same_bits(network, photo, pixels) -> None:
    by_path = dreamopt.dream(network, photo, "mixed3", **QUICK)
    by_array = dreamopt.dream(network, pixels, "mixed3", **QUICK)
    assert np.array_equal(by_path.image, by_array.image)
    assert str(photo) in by_path.metadata["inputs"]
    assert "array" not in by_array.metadata["inputs"]


def test_an_array_of_whole_or_broken_numbers_and_of_grey_is_an_image() -> None:
    grey = np.arange(12.0).reshape(3, 4) + 0.3
    image = InitImage.of(grey, "frame 7")
    assert image.path == "frame 7"
    assert image.shape == (3, 4, 3)
    assert np.array_equal(image.array(), np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4, 1), 3, 2))
    assert InitImage.of(grey).sha256 != InitImage.of(grey + 1).sha256


@pytest.mark.parametrize("wrong", [np.zeros((3, 4, 2)), np.zeros(5), np.full((3, 4), np.nan), np.array([["a", "b"]]), np.zeros((0, 3))])
def test_other_arrays_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ImageError, match="image"):
        InitImage.of(wrong)


def test_several_targets_are_one_objective(network, pixels) -> None:
    plan = plan_dream(network, pixels, ["2*mixed3", "conv2:7", "conv2:1-2"])
    assert plan.samples[0].text == "2*mixed3 + conv2:7 + conv2:1 + conv2:2"
    assert len(plan.samples) == 1
    assert plan.stages[-1].size == (41, 53)


def test_the_command_writes_what_the_function_gives_and_replay_the_same(network, photo, tmp_path) -> None:
    out = tmp_path / "out.png"
    words = [photo, "-t", "mixed3", "-t", "0.5*conv2", "--octaves", 2, "--steps", 2, "--jitter", 5, "--step-size", 2.5, "-o", out]
    assert dream_by_command(*words).strip() == str(out)
    one = dreamopt.dream(network, photo, ["mixed3", "0.5*conv2"], **QUICK, jitter=5, lr=2.5)
    assert np.array_equal(read_png(out), one.image)
    result = CliRunner().invoke(cli, ["replay", str(out), "--device", "cpu"])
    assert result.exit_code == 0
    assert "the same pixels" in result.output


def test_the_command_in_the_metadata_makes_it_again(photo, tmp_path) -> None:
    import shlex

    out = tmp_path / "out.png"
    dream_by_command(photo, "-t", "mixed3", "--octaves", 2, "--steps", 1, "-o", out)
    before, metadata = read_png(out), read_metadata(out)
    program, name, *words = shlex.split(metadata["command"])
    assert (program, name) == ("dreamopt", "dream")
    out.unlink()
    assert CliRunner().invoke(cli, ["dream", *words, "-q"]).exit_code == 0
    assert np.array_equal(read_png(out), before)
    assert read_metadata(out)["plan"] == metadata["plan"]


def test_the_results_as_json(photo, tmp_path) -> None:
    text = dream_by_command(photo, "-t", "mixed3", "--octaves", 1, "--steps", 1, "-o", tmp_path / "out.png", "--json")
    [one] = json.loads(text)["pictures"]
    assert one["recipe"] == "dream"
    assert one["settings"]["steps"] == 1


def test_an_init_beside_the_image_is_refused(network, pixels, photo) -> None:
    with pytest.raises(UsageError, match="begins with its image"):
        dreamopt.dream(network, pixels, "mixed3", init=str(photo))
    with pytest.raises(UsageError, match="dream has no setting 'stepps'"):
        dreamopt.dream(network, pixels, "mixed3", stepps=3)


def test_a_dream_that_is_interrupted_in_an_early_octave_has_the_images_size(network, pixels) -> None:
    asked: list[int] = []
    one = dreamopt.dream(network, pixels, "mixed3", octaves=3, steps=3, stop=lambda: bool(asked.append(1)) or len(asked) == 2)
    assert one.interrupted
    assert one.image.shape == pixels.shape
    assert 0 < np.abs(one.image.astype(int) - pixels).mean() < 12


def test_render_is_what_it_was(network) -> None:
    assert plan_render(network, "conv2:1", resolve_settings(None, {"size": 32, "steps": 1})).recipe == "render"
