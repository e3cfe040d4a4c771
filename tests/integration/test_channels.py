"""Nets of other than one and three channels: what is shown, what is kept beside it, and photographs to start from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import ImageError, UsageError
from dreamopt.image.files import read_metadata, read_written
from dreamopt.recipes.store import FolderStore

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
QUICK = {"steps": 2, "parametrization": "pixels()", "seed": 3}


@pytest.fixture
def net(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a net of so many channels of 14 x 18 pixels."""
    path = tmp_path / "net.prototxt"
    path.write_text(
        f'input: "data" input_dim: 1 input_dim: {request.param} input_dim: 14 input_dim: 18\n'
        'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"'
        ' convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "gaussian" std: 0.1 } } }\n'
    )
    return path


def load(net: Path) -> dreamopt.Network:
    return dreamopt.load_net(net, mean=128, device="cpu")


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.mark.parametrize("net", [6], indirect=True)
@pytest.mark.parametrize(
    ("channels", "shape", "shown"),
    [
        (None, (46, 38), lambda grey: grey[3]),
        ("colour", (14, 18), lambda grey: grey[[2, 1, 0]]),
        ("5,0,3", (14, 18), lambda grey: grey[[5, 0, 3]]),
        ("4", (14, 18), lambda grey: grey[4]),
    ],
)
def test_what_is_shown_and_kept(net: Path, tmp_path: Path, channels: str | None, shape: tuple[int, int], shown) -> None:
    out = tmp_path / "out.png"
    words = [] if channels is None else ["--channels", channels]
    done = call("render", "--net", net, "--mean", 128, "-t", "conv:3", "--steps", 2, "--device", "cpu", *words, "-o", out, "--json", "-q")
    assert done.exit_code == 0, done.stderr
    [one] = json.loads(done.stdout)["pictures"]
    beside = tmp_path / "out.channels.npy"
    assert one["channels_path"] == str(beside)
    kept, metadata, image = np.load(beside, allow_pickle=False), read_metadata(out), read_written(out)
    assert (kept.shape, kept.dtype) == ((6, 14, 18), np.float32)
    assert metadata["channels_file"]["sha256"] == hashlib.sha256(beside.read_bytes()).hexdigest()
    assert metadata["settings"]["channels"] == (channels or "planes")
    assert image.shape == (*shape, 3)
    # Kept in the net's input space, where the mean is 0.
    grey = np.rint(np.clip(kept.astype(np.float64) + 128, 0, 255))
    expected = shown(grey)
    panel = image[16:30, 20:38] if channels is None else image
    np.testing.assert_allclose(panel, np.moveaxis(expected, 0, -1) if expected.ndim == 3 else expected[..., None].repeat(3, -1), atol=1)
    # And the same again from the metadata.
    replayed = call("replay", out, "-q")
    assert "the same pixels" in replayed.stderr
    assert np.array_equal(read_written(tmp_path / "out-replay.png"), image)
    assert (tmp_path / "out-replay.channels.npy").read_bytes() == beside.read_bytes()


@pytest.mark.parametrize("net", [20], indirect=True)
def test_flow_of_two_stream_nets(net: Path) -> None:
    network = load(net)
    [one] = dreamopt.render(network, "conv:1", channels="flow", **QUICK)
    assert one.image.shape == (4 * 16 - 2, 3 * 20 - 2, 3)
    assert one.channels is not None
    movement = one.channels.reshape(10, 2, 14, 18) + 0.5  # 127.5 is none, and the mean is 128
    length = np.hypot(movement[:, 0], movement[:, 1])
    pair, y, x = np.unravel_index(length.argmax(), length.shape)
    pixel = one.image[pair // 3 * 16 + y, pair % 3 * 20 + x]
    assert pixel.max() == 255
    assert pixel.min() <= 1  # the longest is fully saturated
    still = np.unravel_index(length.argmin(), length.shape)
    assert one.image[still[0] // 3 * 16 + still[1], still[0] % 3 * 20 + still[2]].min() > 200


@pytest.mark.parametrize(("net", "shape"), [(1, (14, 18)), (3, (14, 18)), (2, (30, 18)), (4, (30, 38))], indirect=["net"])
def test_what_needs_no_file_has_none(net: Path, tmp_path: Path, shape: tuple[int, int]) -> None:
    out = tmp_path / "out" / "a.png"
    with FolderStore(out, seconds=None) as store:
        [one] = dreamopt.render(load(net), "conv:1", store=store, **QUICK)
    assert read_written(out).shape == (*shape, 3)
    few = len(load(net).mean) in (1, 3)
    assert sorted(path.name for path in out.parent.iterdir()) == (["a.png"] if few else ["a.channels.npy", "a.png"])
    assert (one.channels is None) == few == ("channels_file" not in one.metadata)


@pytest.mark.parametrize("net", [6], indirect=True)
def test_transparency_and_sheets(net: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.png"
    with FolderStore(out, seconds=None) as store:
        one, other = dreamopt.render(load(net), ["conv:1", "conv:2"], store=store, transparency=True, **QUICK)
    assert one.image.shape == other.image.shape == (46, 38, 4)
    assert np.array_equal(one.image[:14, :18, 3], one.image[16:30, 20:38, 3])
    assert (one.image[14:16, :, 3] == 255).all()
    names = sorted(path.name for path in (tmp_path / "s").iterdir())
    assert names == ["conv-1.channels.npy", "conv-1.png", "conv-2.channels.npy", "conv-2.png"]
    pictures = read_metadata(out)["pictures"]
    assert [len(one["channels_file"]["sha256"]) for one in pictures] == [64, 64]


@pytest.mark.parametrize("net", [6], indirect=True)
def test_an_image_without_its_channels_is_not_finished(net: Path, tmp_path: Path) -> None:
    words = ["render", "--net", net, "-t", "conv:3", "-t", "conv:4", "--batch-size", 1, "--steps", 2, "-o", tmp_path / "s.png", "-q"]
    assert call(*words).exit_code == 0
    first, second = (tmp_path / "s" / f"conv-{i}.channels.npy" for i in (3, 4))
    before = first.read_bytes()
    stamp = second.stat().st_mtime_ns
    first.write_bytes(before[:-4])
    assert call(*words, "--resume").exit_code == 0
    assert first.read_bytes() == before
    assert second.stat().st_mtime_ns == stamp
    first.unlink()
    assert call(*words, "--resume").exit_code == 0
    assert first.read_bytes() == before


@pytest.mark.parametrize("net", [6], indirect=True)
def test_a_place_that_cannot_be_written_is_said_before_the_first_step(net: Path, tmp_path: Path) -> None:
    (tmp_path / "a.channels.npy").mkdir()
    with FolderStore(tmp_path / "a.png", seconds=None) as store, pytest.raises(ImageError, match=r"a\.channels\.npy cannot be written"):
        dreamopt.render(load(net), "conv:1", store=store, **QUICK)


@pytest.mark.parametrize("net", [3], indirect=True)
@pytest.mark.parametrize(
    ("channels", "message"),
    [("flow", "needs pairs of channels"), ("3,2,1", "no channel 3: the input has 3"), ("3-1", "channels must be one of")],
)
def test_what_does_not_fit_is_said_before_the_first_step(net: Path, channels: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dreamopt.render(load(net), "conv:1", channels=channels, **QUICK)


@pytest.mark.parametrize(("net", "planes"), [(1, "y"), (2, "yy"), (3, "bgr"), (4, "bgry"), (6, "bgrbgr"), (20, "y" * 20)], indirect=["net"])
def test_a_photograph_to_start_from(net: Path, planes: str, tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(30, 220, (14, 18, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "photo.png")
    named = dict(zip("rgb", np.moveaxis(colours.astype(np.float64), -1, 0), strict=True))
    named["y"] = 0.299 * named["r"] + 0.587 * named["g"] + 0.114 * named["b"]
    expected = np.stack([named[name] for name in planes])
    still = {"lr": 1e-6, "decay": 0, "blur": 0, "jitter": 0, "transforms": (), "steps": 1, "parametrization": "pixels()"}
    [one] = dreamopt.render(load(net), "conv:1", init=str(tmp_path / "photo.png"), channels="auto", **still)
    if one.channels is not None:
        np.testing.assert_allclose(one.channels + 128, expected, atol=1e-3)
    else:
        shown = expected[::-1] if planes == "bgr" else expected
        np.testing.assert_array_equal(one.image, np.broadcast_to(np.rint(np.moveaxis(shown, 0, -1)), (14, 18, 3)))


@pytest.mark.parametrize("net", [20], indirect=True)
def test_inspect_says_how_images_are_shown(net: Path) -> None:
    assert "shown as a grid of 20 grey planes, all channels in a file FILE.channels.npy beside it" in call("inspect", net).stdout
    assert json.loads(call("inspect", "--json").stdout)["input"]["shown"] == "in colours: channels 2, 1, 0 as red, green, blue"


@pytest.mark.parametrize("net", [3], indirect=True)
def test_a_huge_photograph_starts_a_render_of_a_known_size(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    column = np.linspace(40, 200, 80).astype(np.uint8)
    Image.fromarray(np.repeat(column[None, :, None], 64, 0).repeat(3, -1)).save(tmp_path / "photo.jpg", quality=95)
    monkeypatch.setenv("DREAMOPT_IMAGE_PIXELS", "2000")
    words = ["render", "--net", net, "-t", "conv:3", "--steps", 1, "--lr", 1e-6, "--blur", 0, "--init", tmp_path / "photo.jpg", "-q"]
    refused = call(*words, "-o", tmp_path / "a.png")
    assert refused.exit_code == 1
    assert "has 80 x 64 pixels, above the limit of 2000; give a size (--size)" in refused.stderr
    made = call(*words, "--size", "20x16", "--parametrization", "pixels()", "-o", tmp_path / "a.png")
    assert made.exit_code == 0, made.stderr
    image = read_written(tmp_path / "a.png")
    np.testing.assert_allclose(image[5, :, 1], column.reshape(20, 4).mean(1), atol=4)
    assert "the same pixels" in call("replay", tmp_path / "a.png", "-q").stderr


@pytest.mark.parametrize("net", [1, 4, 20], indirect=True)
def test_a_photograph_that_an_objective_looks_at(net: Path, tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(30, 220, (28, 36, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "photo.png")
    network = load(net)
    by_path, by_array = (network.activations_of(image, ["conv"])["conv"] for image in (str(tmp_path / "photo.png"), colours))
    half = np.asarray(Image.fromarray(colours).resize((18, 14), Image.Resampling.LANCZOS))
    expected = network.activations(network.from_rgb(half)[None], ["conv"])["conv"]
    assert np.array_equal(by_path, by_array)
    np.testing.assert_allclose(by_path, expected, rtol=1e-5, atol=1e-3)
    [one] = dreamopt.render(network, f'Guide("conv", "{tmp_path / "photo.png"}")', **QUICK)
    assert np.isfinite(one.value)
