"""``dreamopt attribute``: its files, what it prints, several images and methods, and what it refuses."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor

import dreamopt
from dreamopt.attribution.method import AttributionMethod, Maps, methods
from dreamopt.attribution.score import ScoreFunction
from dreamopt.cli import cli
from dreamopt.errors import UsageError
from dreamopt.image.files import read_image, read_metadata

VECTOR = """name: "vector" input: "code" input_shape { dim: 1 dim: 5 }
layer { name: "fc" type: "InnerProduct" bottom: "code" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }"""


@dataclass(frozen=True)
class Refuses(AttributionMethod):
    """It cannot be applied."""

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Raise."""
        raise UsageError("this net has no layer of maps")


@dataclass(frozen=True)
class Halts(AttributionMethod):
    """Ctrl-C is pressed while it works."""

    signed: ClassVar[bool] = False

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Raise."""
        raise KeyboardInterrupt

    def evaluations(self) -> int | None:
        """Nobody knows."""
        return None


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (101, 123, 3), np.uint8)).save(path)
    return path


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, ["attribute", *map(str, words), "--device", "cpu"])


def test_it_writes_map_overlay_and_numbers(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.png"
    result = call(photo, "-t", "scores:7", "-m", "gradient", "-o", out)
    assert result.exit_code == 0, result.output
    files = [out, out.with_name("out-overlay.png"), out.with_suffix(".npy")]
    assert result.stdout.splitlines() == [str(file) for file in files]
    assert sorted(out.parent.iterdir()) == sorted(files)
    one = dreamopt.attribute(dreamopt.load_net(device="cpu"), str(photo), "scores:7", "gradient")
    assert result.stderr == f"{photo}: scores:7 (eyes) {one.score:.4g}: a logit (layer 'scores', before the Softmax 'prob')\n"
    np.testing.assert_allclose(np.load(files[2]), one.array, rtol=1e-5)
    np.testing.assert_array_equal(read_image(out), one.shown())
    np.testing.assert_array_equal(read_image(files[1]), one.overlay())


def test_the_metadata_say_what_it_is_and_how_to_make_it_again(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    words = ("-t", "scores:7", "--method", "saliency", "--clip", "90", "--colors", "jet", "--size", "80x112", "--seed", "5", "-o", out)
    assert call(photo, *words, "-q").stderr == ""
    found = read_metadata(out)
    one = dreamopt.attribute(dreamopt.load_net(device="cpu"), str(photo), "scores:7", size=(112, 80))
    assert (found["method"], found["objective"], found["label"]) == ("saliency", "scores:7", "eyes")
    assert "logit" in found["explains"]
    assert (found["clip"], found["colors"], found["settings"]["size"], found["settings"]["seed"]) == (90.0, "jet", [112, 80], 5)
    assert found["limit"] == pytest.approx(np.percentile(one.heat_map, 90), rel=1e-5)
    assert found["score"] == pytest.approx(one.score, rel=1e-5)
    assert {"torch", "python", "device", "threads"} <= set(found["made_with"])
    before = read_image(out)
    out.unlink()
    again = shlex.split(found["command"])
    assert again[:2] == ["dreamopt", "attribute"]
    assert CliRunner().invoke(cli, [*again[1:], "--force"]).exit_code == 0
    np.testing.assert_array_equal(read_image(out), before)
    assert read_metadata(out)["settings"] == found["settings"]
    replayed = CliRunner().invoke(cli, ["replay", str(out)])
    assert replayed.exit_code == 2
    assert "is an attribution; run the command in its metadata again" in replayed.stderr


def test_without_a_target_the_highest_class_and_those_that_come_next(photo: Path, tmp_path: Path) -> None:
    network = dreamopt.load_net(device="cpu")
    scores = network.activations_of(str(photo), ["scores"])["scores"].flatten()
    order = scores.argsort(descending=True).tolist()
    result = call(photo, "-o", tmp_path / "out.png")
    assert network.labels is not None
    runners = ", ".join(f"{i} {network.labels[i]} {float(scores[i]):.4g}" for i in order[1:5])
    expected = f"{photo}: scores:{order[0]} ({network.labels[order[0]]}) {float(scores[order[0]]):.4g} (then {runners}): a logit"
    assert result.stderr.startswith(expected)


def test_several_images_and_methods_are_on_a_sheet(photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        Image.open(photo).rotate(180).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    out = tmp_path / "out.png"
    result = call(photo, folder, "-t", "scores:1", "-m", "gradient", "-m", "saliency", "-o", out, "--json", "-q")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    names = [Path(file).name for one in found["attributions"] for file in one["files"]]
    stems = [f"{image}-{method}" for image in ("cat", "a", "b") for method in ("gradient", "saliency")]
    assert names == [f"{stem}{end}" for stem in stems for end in (".png", "-overlay.png", ".npy")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    assert found["sheet"] == str(out)
    assert all(one["seconds"] > 0 for one in found["attributions"])
    sheet = read_image(out)
    cell = read_image(tmp_path / "out" / "cat-saliency.png")
    large = np.repeat(np.repeat(cell, 2, 0), 2, 1)  # 96 pixels are enlarged
    top = next(y for y in range(sheet.shape[0] - 192) if np.array_equal(sheet[y : y + 192, 8 + 2 * 200 :][:, :192], large))
    assert top > 20  # below the titles
    assert read_metadata(out)["recipe"] == "sheet"


def test_one_target_may_name_several_units(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps.png"
    result = call(photo, "-t", "scores:stars,moons", "-t", "conv2:0-1", "-m", "gradient", "-o", out, "--json", "-q")
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)["attributions"]
    assert [one["objective"] for one in said] == ["scores:24", "scores:18", "conv2:0", "conv2:1"]
    named = sorted(path.stem.removeprefix(photo.stem) for path in (tmp_path / "maps").glob("*.npy"))
    assert named == ["-conv2-0-gradient", "-conv2-1-gradient", "-scores-moons-gradient", "-scores-stars-gradient"]
    refused = call(photo, "--compare", "-t", "scores:stars,moons")
    assert refused.exit_code == 2
    assert "--compare explains one target" in refused.stderr


def test_a_sheet_of_more_images_than_it_takes_has_the_first_ones(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamopt.attribution.sheet.MOST_ROWS", 2)
    images = [photo.rename(photo.with_name("one.png")), *(tmp_path / name for name in ("two.png", "three.png"))]
    for image in images[1:]:
        image.write_bytes(images[0].read_bytes())
    said = call(*images, "-t", "conv2:3", "-o", tmp_path / "all.png").stderr
    assert said.splitlines()[-1] == "dreamopt: note: the sheet has the first 2 of 3 images"
    assert call(*images, "-t", "conv2:3", "-o", tmp_path / "quiet.png", "-q").stderr == ""
    assert call(*images[:2], "-t", "conv2:3", "-o", tmp_path / "two-alone.png", "-q").stderr == ""
    sheets = [read_image(tmp_path / name) for name in ("all.png", "quiet.png", "two-alone.png")]
    assert sheets[0].shape == sheets[1].shape == sheets[2].shape
    assert len(list((tmp_path / "all").glob("*.npy"))) == 3


def test_a_sheet_of_overlays(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert call(photo, "-t", "scores:1", "-m", "gradient", "-m", "saliency", "--sheet", "overlay", "-o", out, "-q").exit_code == 0
    sheet, cell = read_image(out), read_image(tmp_path / "out" / "cat-saliency-overlay.png")
    large = np.repeat(np.repeat(cell, 2, 0), 2, 1)
    assert any(np.array_equal(sheet[y : y + 192, 8 + 2 * 200 :][:, :192], large) for y in range(sheet.shape[0] - 192))


def test_a_method_that_cannot_be_applied_says_why_and_the_others_go_on(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    with methods.registered(Refuses):
        result = call(photo, "-m", "saliency", "-m", "refuses", "-m", "gradient", "-o", out, "--json", "-q")
        assert result.exit_code == 0, result.output
        assert result.stderr == "dreamopt: warning: refuses: this net has no layer of maps\n"
        found = json.loads(result.stdout)
        assert [one["method"] for one in found["attributions"]] == ["saliency", "gradient"]
        assert found["failed"] == [{"image": str(photo), "method": "refuses", "reason": "this net has no layer of maps"}]
        assert out.is_file()
        alone = call(photo, "-m", "refuses", "-o", out, "--force")
        assert (alone.exit_code, alone.stdout) == (2, "")
        assert alone.stderr.endswith("dreamopt: error: this net has no layer of maps\n")


def test_all_has_every_method(photo: Path, tmp_path: Path) -> None:
    result = call(photo, "-m", "all", "-o", tmp_path / "out.png", "--size", "64", "-t", "mixed3:2", "--json", "-q")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    tried = [one["method"] for one in found["attributions"]] + [one["method"] for one in found["failed"]]
    assert sorted(tried) == methods.names()


def test_an_interrupt_leaves_what_is_done(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    with methods.registered(Halts):
        result = call(photo, "-m", "saliency", "-m", "halts", "-m", "gradient", "-o", out)
    assert result.exit_code == 130
    assert result.stderr.endswith("dreamopt: interrupted; 1 of 3 maps are done.\n")
    assert (tmp_path / "out" / "cat-saliency.npy").is_file()
    assert not (tmp_path / "out" / "cat-gradient.npy").exists()
    assert out.is_file()


def test_an_image_that_cannot_be_read_stops_it_or_is_left_out(photo: Path, tmp_path: Path) -> None:
    missing, out = tmp_path / "missing.png", tmp_path / "out.png"
    alone = call(missing, "-o", out)
    assert (alone.exit_code, alone.stdout) == (1, "")
    assert alone.stderr == f"dreamopt: error: the image '{missing}' cannot be read: No such file or directory\n"
    several = call(missing, photo, "-o", out, "-q")
    assert several.exit_code == 1
    assert several.stderr == f"dreamopt: warning: the image '{missing}' cannot be read: No such file or directory\n"
    assert (tmp_path / "out" / "cat-saliency.npy").is_file()


def test_a_name_that_is_too_long_is_an_image_that_cannot_be_read(photo: Path, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300 + ".png")
    result = call(photo, long, "-t", "conv2:3", "-o", tmp_path / "a.png")
    assert result.exit_code == 1
    assert f"dreamopt: warning: the image '{long}' cannot be read: File name too long" in result.stderr
    assert result.stdout.splitlines()[-1] == str(tmp_path / "a.png")


def test_files_of_the_same_name_are_replaced_if_that_is_said(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    for target, words, code in (("scores:1", (), 0), ("scores:3", (), 2), ("scores:2", ("--force",), 0)):
        assert call(photo, "-t", target, "-o", out, *words).exit_code == code
    assert read_metadata(out)["objective"] == "scores:2"
    assert len(list(tmp_path.iterdir())) == 4  # with the photo; nothing temporary


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("-m", "salency"), 2, "no attribution method is called 'salency' (did you mean saliency?)"),
        (("-m", "saliency(3)"), 2, "saliency"),
        (("-m", "rise(masks=1e9)"), 2, "masks of Rise must be a whole number from 1 to 1000000, not"),
        (("-m", "expected_gradients(samples=1e9)"), 2, "samples of ExpectedGradients must be a whole number from 1 to 1000000, not"),
        (("-t", "scores:99"), 1, "99"),
        (("-t", "scores:3", "-t", "scores:99"), 1, "99"),
        (("-o", "cat.png"), 2, "cat.png is an image that is given, and would be written over"),
        (("-t", "scores:1", "-t", "scores:2", "-o", "cat.png"), 2, "cat.png is an image that is given"),
        (("-t", "conv99:1"), 1, "no layer 'conv99'"),
        (("-t", "scores:tabby cat"), 1, "tabby cat"),
        (("-o", "out.gif"), 2, "the output out.gif must end in .png, .tif, .tiff, .webp, .jpg or .jpeg"),
        (("-o", "."), 2, "must end in"),
        (("--clip", "0"), 2, "clip must be above 0 and at most 100, not 0"),
        (("--opacity", "2"), 2, "opacity must be"),
        (("--colors", "jett"), 2, "no colour map 'jett' (did you mean jet"),
        (("--summary", "mean"), 2, "summary must be one of sum, abs_max, positive_sum, norm, rgb, not 'mean'"),
    ],
)
def test_refused_before_anything_is_written(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(photo, *words)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert result.stderr.startswith("dreamopt: error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [photo]


def test_maps_do_not_go_among_the_images_that_are_given(photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("one.png", "two.png", "one-overlay.png"):
        (folder / name).write_bytes(photo.read_bytes())
    result = call(folder, "-o", tmp_path / "photos.png")
    assert result.exit_code == 2
    assert f"the maps would go into {folder}, among the images that are given" in result.stderr
    over = call(folder / "one.png", "-q", "-o", folder / "map.png")  # beside it is as good as anywhere
    assert over.exit_code == 0, over.output
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["map-overlay.png", "map.npy", "map.png", "one-overlay.png", "one.png", "two.png"]


def test_no_image_is_wrong_usage_but_the_list_needs_none() -> None:
    assert call().exit_code == 2
    listed = call("--list")
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == methods.names()
    assert json.loads(call("--list", "--json").stdout)[0]["name"] == methods.names()[0]


def test_a_net_whose_input_is_no_image_takes_and_gives_numbers(tmp_path: Path) -> None:
    net, code, out = tmp_path / "vector.prototxt", tmp_path / "code.npy", tmp_path / "out.png"
    net.write_text(VECTOR)
    np.save(code, np.array([3, 0, -1, 2, 0.5], np.float32))
    result = call(code, "--net", net, "-t", "fc:1", "-m", "gradient_x_input", "-o", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out.with_suffix('.npy')}\n"
    assert not out.exists()
    values = np.load(out.with_suffix(".npy"))
    strongest = int(np.abs(values).argmax())
    assert f"gradient_x_input: the strongest are [{strongest}] {values[strongest]:.4g}, " in result.stderr
    refused = call(tmp_path / "cat.png", "--net", net, "-t", "fc:1", "-o", tmp_path / "other.png")
    assert "the net's input 'code' is a vector of (5,): give a .npy file of it" in refused.stderr
