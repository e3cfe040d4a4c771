"""Nets of several inputs at the command line: chosen, fed, described, and made again from an image's metadata."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from dreamopt.cli import cli
from dreamopt.image.files import read_metadata
from tests.unit.network.test_inputs import PAIR, WORDS, files


def called(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    path = tmp_path / "mask.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (7, 9), dtype=np.uint8)).save(path)
    return path


def test_a_fed_image_is_in_the_metadata_and_replayed(tmp_path: Path, mask: Path) -> None:
    path, weights = files(tmp_path, PAIR)
    options = ["--weights", weights, "--device", "cpu", "-q", "--steps", 2]
    images = []
    for number, feed in enumerate((f"mask={mask}", "mask=20")):
        out = tmp_path / f"{number}.png"
        done = called("render", "--net", path, "-t", "sum:1", *options, "--feed", feed, "-o", out)
        assert done.exit_code == 0, done.output
        images.append(np.asarray(Image.open(out)))
    assert (images[0] != images[1]).any()
    metadata = read_metadata(tmp_path / "0.png")
    assert metadata["load"]["feed"] == [f"mask={mask}"]
    assert metadata["net"]["feed"]["mask"]["sha256"] == metadata["inputs"][str(mask)]
    again = called("replay", tmp_path / "0.png", "-q", "--net", path, "--weights", weights)
    assert again.exit_code == 0, again.output
    assert "the same pixels" in again.output
    # A feed's file is opened where it lies beside the image, or where the user names it.
    (elsewhere := tmp_path / "elsewhere").mkdir()
    moved = mask.rename(elsewhere / "mask.png")
    refused = called("replay", tmp_path / "0.png", "-q", "--net", path, "--weights", weights)
    assert refused.exit_code == 1
    assert f"--file {mask}" in refused.output
    named = called("replay", tmp_path / "0.png", "-q", "--net", path, "--weights", weights, "--file", moved)
    assert "the same pixels" in named.output, named.output
    assert read_metadata(tmp_path / "0-replay.png")["load"]["feed"] == [f"mask={moved}"]


def test_the_input_is_chosen(tmp_path: Path) -> None:
    path, weights = files(tmp_path, PAIR)
    done = called("inspect", path, "--weights", weights, "--device", "cpu", "--input", "mask", "--json")
    summary = json.loads(done.stdout)
    assert (summary["input"]["blob"], summary["input"]["shape"]) == ("mask", [1, 7, 9])
    assert "input 'data' (2, 3, 7, 9) is fed zeros" in summary["changes"]


def test_words_at_the_command_line(tmp_path: Path) -> None:
    path, weights = files(tmp_path, WORDS)
    done = called("render", "--net", path, "-t", "ip:1", "--weights", weights, "--device", "cpu", "-o", tmp_path / "no.png")
    assert done.exit_code == 2
    assert "takes word indices" in done.output.splitlines()[-1]
    assert "--input embed" in done.output.splitlines()[-1]
    shown = called("inspect", path, "--weights", weights, "--device", "cpu")
    assert "note: the net's input 'words' (6,) takes word indices" in shown.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--feed", "mask"], "--feed mask must be BLOB=FILE or BLOB=VALUE"),
        (["--feed", "mask=1", "--feed", "mask=2"], "--feed is given twice for the blob 'mask'"),
        (["--feed", "mask=nowhere.png"], "'nowhere.png', is neither a file nor numbers"),
        (["--input", "maks"], "did you mean mask?"),
    ],
)
def test_a_wrong_option_is_one_sentence(tmp_path: Path, words: list[str], message: str) -> None:
    path, weights = files(tmp_path, PAIR)
    done = called("inspect", path, "--weights", weights, "--device", "cpu", *words)
    assert done.exit_code == 2
    assert message in done.output.splitlines()[-1]


@pytest.mark.parametrize(("dims", "words"), [((5,), "5, a vector"), ((2, 7), "2x7, a signal"), ((4, 3, 5, 6), "4x3x5x6, a volume")])
def test_inspect_says_what_the_input_is(tmp_path: Path, dims: tuple[int, ...], words: str) -> None:
    path = tmp_path / "net.prototxt"
    shape = " ".join(f"dim: {size}" for size in (1, *dims))
    path.write_text(f'input: "x" input_shape {{ {shape} }} layer {{ name: "a" type: "ReLU" bottom: "x" top: "a" }}')
    shown = called("inspect", path, "--device", "cpu")
    assert f"input x: {words}" in shown.output
