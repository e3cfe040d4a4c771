"""Renders that were interrupted are resumed and end in the same pixels and metadata; images are made again from their metadata."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import DreamoptWarning, UsageError
from dreamopt.image.files import read_image, read_metadata, read_written
from dreamopt.optimize import Progress
from dreamopt.recipes import Settings
from dreamopt.recipes.store import FolderStore

TARGETS = ["conv2:3", "scores:stars", "conv2:5@centre"]
QUICK = {"size": 32, "steps": 12, "batch_size": 2, "jitter": 3}


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


class CrashError(Exception):
    pass


def store(folder: Path, **kept: object) -> FolderStore:
    return FolderStore(folder / "a.png", **kept)  # type: ignore[arg-type]


def crash_at(step: int) -> object:
    made = 0

    def callback(progress: Progress) -> None:
        nonlocal made
        made += 1
        if made == step:
            raise CrashError

    return callback


@pytest.fixture(scope="module")
def network() -> dreamopt.Network:
    return dreamopt.load_net(device="cpu")


@pytest.mark.parametrize("changes", [{}, {"octaves": 3, "steps": 4}, {"stages": [{"steps": 5}, {"steps": 7, "zoom": 1.25}]}], ids=str)
@pytest.mark.parametrize("step", [1, 5, 13, 20])
def test_a_crash_at_any_step_ends_in_the_same_pixels(network, tmp_path: Path, changes, step: int) -> None:
    settings = Settings(**(QUICK | changes))
    whole = dreamopt.render(network, TARGETS, settings)
    with pytest.raises(CrashError):
        dreamopt.render(network, TARGETS, settings, callbacks=[crash_at(step)], store=store(tmp_path, every=2))
    made: list[int] = []
    again = dreamopt.render(
        network, TARGETS, settings, callbacks=[lambda progress: made.append(1) and None], store=store(tmp_path, every=2, resume=True)
    )
    assert len(made) <= 24 - (step - 1) + 2  # two batches of 12 steps; at most two steps are made twice
    for one, other in zip(again, whole, strict=True):
        assert np.array_equal(one.image, other.image)
        assert one.metadata["value"] == other.metadata["value"]
        assert one.metadata["steps_made"] == other.metadata["steps_made"] == 12
        assert one.metadata == other.metadata
        assert np.array_equal(read_written(one.path), other.image)
        assert read_metadata(one.path) == other.metadata
    assert not (tmp_path / "a.png.checkpoint").exists()


def test_something_else_is_not_taken_up(network, tmp_path: Path) -> None:
    with pytest.raises(CrashError):
        dreamopt.render(network, TARGETS[:1], callbacks=[crash_at(3)], store=store(tmp_path, every=1), **QUICK)
    with pytest.raises(UsageError, match="keeps a rendering with other settings"):
        dreamopt.render(network, TARGETS[:1], store=store(tmp_path, resume=True), **(QUICK | {"seed": 1}))
    with pytest.raises(UsageError, match="nothing to resume in"):
        dreamopt.render(network, TARGETS[:1], store=store(tmp_path / "other", resume=True), **QUICK)
    with pytest.warns(DreamoptWarning, match="kept an unfinished render; it was moved to"):
        dreamopt.render(network, TARGETS[:1], store=store(tmp_path, every=1), **QUICK)
    assert (tmp_path / "a.png.checkpoint.old" / "job.json").is_file()  # what was kept of the other one is moved aside, not lost


def test_replay_gives_the_same_pixels(tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    words = ["-t", "conv2:3", "-t", "scores:stars", "-t", "conv2:3", "--size", "40x32", "--steps", 5, "--octaves", 2, "--device", "cpu"]
    assert call("render", *words, "-o", out, "-q").exit_code == 0
    for name in ("conv2-3", "scores-27", "conv2-3-2"):
        picture = next((tmp_path / "a").glob(f"{name}.png"), None)
        if picture is None:  # whatever number the class has
            picture = next((tmp_path / "a").glob("scores-*.png"))
        result = call("replay", picture, "-o", tmp_path / "again.png", "--force")
        assert result.exit_code == 0, result.output
        assert result.stdout == f"{tmp_path / 'again.png'}\n"
        assert "the same pixels" in result.stderr
        assert np.array_equal(read_image(picture), read_image(tmp_path / "again.png"))
        assert read_metadata(picture)["settings"] == read_metadata(tmp_path / "again.png")["settings"]
    refused = call("replay", out)
    assert refused.exit_code == 2
    assert "is a contact sheet" in refused.stderr


def test_variants_and_coupled_targets_replay(tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    words = [
        "-t",
        "conv2:3 - 1e-3*Diversity('conv2')",
        "-t",
        "conv2:1",
        "--variants",
        2,
        "--size",
        32,
        "--steps",
        3,
        "--device",
        "cpu",
        "-q",
    ]
    result = call("render", *words, "-o", out)
    assert result.exit_code == 0, result.output
    pictures = [Path(line) for line in result.stdout.splitlines()[:-1]]
    assert len(pictures) == 4
    assert not np.array_equal(read_image(pictures[0]), read_image(pictures[1]))
    command = shlex.split(read_metadata(pictures[0])["command"])
    assert command.count("--target") == 2
    command[command.index("-o") + 1] = str(tmp_path / "b.png")
    again = call(*command[1:])
    assert again.exit_code == 0, again.output
    for one, other in zip(pictures, again.stdout.splitlines(), strict=False):
        assert np.array_equal(read_image(one), read_image(other))
        assert "the same pixels" in call("replay", one, "-o", tmp_path / "c.png", "-q", "--force").stderr


def test_a_coupled_target_needs_several_pictures(network) -> None:
    with pytest.raises(UsageError, match="ask for several of them with --variants"):
        dreamopt.render(network, "conv2:3 - Diversity('conv2')", steps=1)


def test_opacity_is_in_the_picture(network, tmp_path: Path) -> None:
    [one] = dreamopt.render(network, "conv2:3", steps=2, size=32, parametrization="alpha(fourier())")
    assert one.image.shape == (32, 32, 4)
    [one, _] = dreamopt.render(network, ["conv2:3", "conv2:4"], steps=2, size=32, transparency=True)
    assert one.image.shape == (32, 32, 4)
    assert 0 < (one.image[..., 3] < 255).mean() < 1


def test_replay_compares_opacity_too(tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    words = ["-t", "conv2:3", "--size", 32, "--steps", 2, "--device", "cpu", "-q", "--transparency"]
    assert call("render", *words, "-o", out).exit_code == 0
    assert read_written(out).shape == (32, 32, 4)
    assert "the same pixels" in call("replay", out, "-q").stderr
    assert np.array_equal(read_written(out), read_written(tmp_path / "a-replay.png"))
