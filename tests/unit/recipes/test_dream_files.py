"""A dream is written as its image's file is: at its depth, with its opacity and its colour profile, what a mask leaves out as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import UsageError
from dreamopt.image.files import load_image, read_metadata, read_written, write_image
from dreamopt.recipes import FolderStore, InitImage, Settings
from tests.support.profiles import matrix_profile

RNG = np.random.default_rng(11)
SIZE = (36, 44)
QUICK = {"octaves": 2, "steps": 1, "jitter": 4}
TOP = {np.uint8: 255, np.uint16: 65535}


@pytest.fixture(scope="module")
def network() -> dreamopt.Network:
    return dreamopt.load_net(device="cpu")


def photo(folder: Path, dtype: type, opacity: bool, suffix: str = "png", profile: bytes | None = None) -> tuple[Path, np.ndarray]:
    image = RNG.integers(0, TOP[dtype] + 1, (*SIZE, 4 if opacity else 3)).astype(dtype)
    return write_image(folder / f"photo.{suffix}", image, profile=profile), image


def mask(folder: Path) -> Path:
    """Write a mask of 16 bits that lets the right half change."""
    half = np.zeros((*SIZE, 3), np.uint16)
    half[:, 22:] = 65535
    return write_image(folder / "mask.png", half)


@pytest.mark.parametrize("profile", [None, matrix_profile()], ids=["sRGB", "P3"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("dtype", "opacity"), [(np.uint8, False), (np.uint16, True), (np.uint8, True), (np.uint16, False)])
def test_what_a_mask_leaves_out_comes_back_exactly(
    network, tmp_path: Path, dtype: type, opacity: bool, suffix: str, profile: bytes | None
) -> None:
    path, image = photo(tmp_path, dtype, opacity, suffix, profile)
    with FolderStore(tmp_path / f"out.{suffix}") as store:
        one = dreamopt.dream(network, path, "mixed3", mask=str(mask(tmp_path)), store=store, **QUICK)
    written = read_written(one.path)
    assert written.dtype == dtype
    assert np.array_equal(written, one.image)
    assert np.array_equal(written[:, :22], image[:, :22])
    assert not np.array_equal(written[:, 22:, :3], image[:, 22:, :3])
    assert not opacity or np.array_equal(written[..., 3], image[..., 3])
    read = load_image(one.path)
    assert (None if read.profile is None else read.profile.data) == profile
    assert read_metadata(one.path)["recipe"] == "dream"


def test_a_dream_has_fractions_of_grey_levels(network, tmp_path: Path) -> None:
    path, _ = photo(tmp_path, np.uint16, False)
    one = dreamopt.dream(network, path, "mixed3", **QUICK)
    eight = dreamopt.dream(network, path, "mixed3", depth=8, **QUICK)
    assert (one.image.dtype, eight.image.dtype) == (np.uint16, np.uint8)
    assert np.array_equal(np.rint(one.image / 257.0), eight.image)
    assert (one.image % 257 != 0).mean() > 0.9


def test_a_net_sees_all_16_bits(network, tmp_path: Path) -> None:
    path, image = photo(tmp_path, np.uint16, False)
    init = InitImage.open(str(path))
    np.testing.assert_allclose(init.array(), image / 257, rtol=1e-6)
    seen = network.activations_of(str(path), ["conv2"], SIZE)["conv2"]
    assert np.array_equal(seen, network.activations_of((image / 257).astype(np.float32), ["conv2"], SIZE)["conv2"])
    assert not np.array_equal(seen, network.activations_of(np.rint(image / 257), ["conv2"], SIZE)["conv2"])


@pytest.mark.parametrize(("depth", "dtype"), [("auto", np.uint8), (8, np.uint8), (16, np.uint16)])
def test_a_render_has_8_bits_unless_it_is_said(network, tmp_path: Path, depth: object, dtype: type) -> None:
    path, _ = photo(tmp_path, np.uint16, True)
    [one] = dreamopt.render(network, "conv2:3", Settings(init=str(path), depth=depth, steps=1, octaves=2, size=SIZE))
    assert one.image.dtype == dtype
    assert one.image.shape == (*SIZE, 3)


@pytest.mark.parametrize("depth", [7, 32, "deep", None, True, 8.0])
def test_other_depths_are_refused(depth: object) -> None:
    with pytest.raises(UsageError, match="depth must be auto, 8 or 16, not"):
        Settings(depth=depth)  # type: ignore[arg-type]  # on purpose


def test_another_size_keeps_opacity_and_profile(network, tmp_path: Path) -> None:
    path, image = photo(tmp_path, np.uint16, True, profile=matrix_profile())
    one = dreamopt.dream(network, path, "mixed3", size=(72, 88), **QUICK)
    assert one.image.shape == (72, 88, 4)
    assert one.profile == matrix_profile()
    assert abs(one.image[..., 3].mean() - image[..., 3].mean()) < 3000


def run(*words: object) -> str:
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("suffix", ["png", "tif", "TIFF"])
def test_by_command_replay_and_the_command_in_the_metadata_give_the_same_file(tmp_path: Path, suffix: str) -> None:
    import shlex

    path, image = photo(tmp_path, np.uint16, True, profile=matrix_profile())
    out = tmp_path / f"out.{suffix}"
    run("dream", path, "-t", "mixed3", "--octaves", 2, "--steps", 1, "--device", "cpu", "-q", "-o", out)
    before = read_written(out)
    assert before.dtype == np.uint16
    assert np.array_equal(before[..., 3], image[..., 3])
    assert "the same pixels" in run("replay", out, "--device", "cpu", "-q")
    assert np.array_equal(read_written(tmp_path / f"out-replay.{suffix}"), before)
    metadata = read_metadata(out)
    out.unlink()
    run(*shlex.split(metadata["command"])[1:], "-q")
    assert np.array_equal(read_written(out), before)
    assert read_metadata(out)["plan"] == metadata["plan"]


def test_several_targets_of_a_render_go_into_a_folder_of_the_same_ending(tmp_path: Path) -> None:
    run(
        "render",
        "-t",
        "conv2:1",
        "-t",
        "conv2:2",
        "--size",
        32,
        "--steps",
        1,
        "--depth",
        16,
        "--device",
        "cpu",
        "-q",
        "-o",
        tmp_path / "a.tif",
    )
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["conv2-1.tif", "conv2-2.tif"]
    assert read_written(tmp_path / "a" / "conv2-1.tif").dtype == np.uint16
    assert read_written(tmp_path / "a.tif").dtype == np.uint8
    assert read_metadata(tmp_path / "a.tif")["recipe"] == "sheet"


def test_an_interrupted_dream_of_16_bits_is_resumed(network, tmp_path: Path) -> None:
    path, _ = photo(tmp_path, np.uint16, True)
    whole = dreamopt.dream(network, path, "mixed3", octaves=2, steps=4)
    steps = iter((False, False, True))
    with FolderStore(tmp_path / "out.tif", every=1) as store:
        cut = dreamopt.dream(network, path, "mixed3", octaves=2, steps=4, store=store, stop=lambda: next(steps, True))
    assert cut.interrupted
    assert read_written(cut.path).dtype == np.uint16
    with FolderStore(tmp_path / "out.tif", every=1, resume=True) as store:
        again = dreamopt.dream(network, path, "mixed3", octaves=2, steps=4, store=store)
    assert not again.interrupted
    assert np.array_equal(read_written(again.path), whole.image)


def test_other_endings_are_refused_before_the_first_step(tmp_path: Path) -> None:
    path, _ = photo(tmp_path, np.uint8, False)
    done = CliRunner().invoke(cli, ["dream", str(path), "-o", str(tmp_path / "out.bmp")])
    assert done.exit_code != 0
    assert not (tmp_path / "out.bmp").exists()
