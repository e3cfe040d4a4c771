"""What the command does with its output: what it refuses before the first step, what it resumes, and what it never loses."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import UsageError
from dreamopt.image.files import read_metadata, read_written
from dreamopt.recipes import Settings, plan_render
from dreamopt.recipes.render import run_plan

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "dreamopt" / "data"
QUICK = ("--size", 24, "--steps", 2, "--parametrization", "pixels()", "--checkpoint", 1, "--device", "cpu", "-q")
SEVERAL = ("-t", "conv2:3", "-t", "scores:7", "--batch-size", 1)


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, ["render", *(os.fsdecode(word) if isinstance(word, bytes) else str(word) for word in words)])


def fail_after(monkeypatch: pytest.MonkeyPatch, runs: int) -> None:
    """Let the process end, as by a crash, when so many runs have been made and the next has written a checkpoint."""
    from dreamopt.optimize import Checkpoint

    saved, counts = Checkpoint.save, [0]

    def save(self: Checkpoint, data: object) -> None:
        saved(self, data)  # type: ignore[arg-type]
        counts[0] += self.file.name.startswith(f"batch{runs}-")
        if counts[0] == 1:
            raise CrashError

    monkeypatch.setattr(Checkpoint, "save", save)


class CrashError(Exception):
    pass


def crashed(out: Path, *words: object, runs: int = 0) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fail_after(patch, runs)
        assert isinstance(call(*words, *QUICK, "-o", out, "--force").exception, CrashError)
    assert (out.parent / f"{out.name}.checkpoint" / "job.json").is_file()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be optimized."""

    def run(*_: object, **__: object) -> None:
        pytest.fail("the optimization has begun")

    for name in ("execute", "stage_runs"):
        monkeypatch.setattr(importlib.import_module(f"dreamopt.recipes.{name}"), "run", run)
    monkeypatch.setattr(importlib.import_module("dreamopt.recipes.stage_runs"), "find_start", run)


@pytest.mark.usefixtures("never")
def test_what_cannot_be_written_is_refused_before_the_optimization(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("the user's own")
    (tmp_path / "several").write_text("the user's own")
    (tmp_path / "kept.png.checkpoint").write_text("the user's own")
    before = contents(tmp_path)
    for name in ("folder.png", "file/a.png", "several.png", "kept.png", "n" * 252 + ".png"):
        result = call(*SEVERAL, *QUICK, "-o", tmp_path / name)
        assert result.exit_code == 1, result.output
        assert "cannot be written: " in result.stderr
        assert result.stderr.count("\n") == 1
    assert contents(tmp_path) == before


def test_a_target_longer_than_a_files_name(tmp_path: Path) -> None:
    long = [" + ".join(f"{1 + k / 1000}*conv2:{k}" for k in range(start, start + 20)) for start in (0, 1)]
    result = call("-t", long[0], "-t", long[1], *QUICK, "-o", tmp_path / "a.png")
    assert result.exit_code == 0, result.output
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert len(set(paths)) == 3
    assert [read_metadata(path)["target"].count("conv2") for path in paths[:2]] == [20, 20]
    assert max(len(path.name) for path in paths) <= 255


def test_paths_whose_bytes_are_not_utf8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    for name in ("tiny.prototxt", "tiny.caffemodel", "tiny.txt"):
        shutil.copy(DATA / name, os.path.join(folder, os.fsencode(name)))
    Image.fromarray(np.full((24, 24, 3), 90, np.uint8)).save(os.fsdecode(folder + b"/init.png"))
    net = ("--net", folder + b"/tiny.prototxt", "--weights", folder + b"/tiny.caffemodel", "--labels", folder + b"/tiny.txt")
    words = (*SEVERAL, *net, "--init", folder + b"/init.png", *QUICK, "-o", folder + b"/a.png")
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes.splitlines()[-1] == folder + b"/a.png"
    metadata = read_metadata(os.fsdecode(folder + b"/a.png"))
    assert os.fsencode(metadata["source"]["prototxt"]) == folder + b"/tiny.prototxt"
    assert os.fsdecode(folder + b"/init.png") in metadata["inputs"]
    assert sorted(os.listdir(folder)) == sorted([b"a", b"a.png", b"init.png", b"tiny.caffemodel", b"tiny.prototxt", b"tiny.txt"])


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (("--mean", "10,20,30"), "mean"),
        (("--scale", 2), "scale: "),
        (("--channel-order", "RGB"), "channel_order: BGR there, RGB here"),
        (("--seed", 3), "settings (seed: 0 there, 3 here)"),
        (("-t", "conv2:1"), "batch ("),
        (("--lr", 9), "optimizer"),
    ],
    ids=str,
)
def test_resume_names_what_differs(tmp_path: Path, changed: tuple[object, ...], named: str) -> None:
    out = tmp_path / "a.png"
    net = ("--net", DATA / "tiny.prototxt", "--weights", DATA / "tiny.caffemodel")
    crashed(out, *SEVERAL, *net, runs=1)
    before = contents(tmp_path)
    assert (tmp_path / "a" / "conv2-3.png").is_file()
    result = call(*SEVERAL, *net, *QUICK, *changed, "-o", out, "--resume")
    assert result.exit_code == 2
    assert named in result.stderr
    assert contents(tmp_path) == before
    whole = call(*SEVERAL, *net, *QUICK, "-o", tmp_path / "whole.png")
    assert whole.exit_code == 0
    assert call(*SEVERAL, *net, *QUICK, "-o", out, "--resume").exit_code == 0
    for name in ("a/conv2-3.png", "a/scores-7.png", "a.png"):
        other = tmp_path / name.replace("a", "whole", 1)
        assert np.array_equal(read_written(tmp_path / name), read_written(other))
        assert read_metadata(tmp_path / name) | {"command": ""} == read_metadata(other) | {"command": ""}


@pytest.mark.parametrize("name", ["init.png", "tiny.prototxt", "tiny.caffemodel", "mean.npy", "tiny.txt"])
def test_resume_names_the_file_that_changed(tmp_path: Path, name: str) -> None:
    out, files = tmp_path / "a.png", tmp_path / "files"
    files.mkdir()
    for data in ("tiny.prototxt", "tiny.caffemodel", "tiny.txt"):
        shutil.copy(DATA / data, files / data)
    Image.fromarray(np.full((24, 24, 3), 90, np.uint8)).save(files / "init.png")
    np.save(files / "mean.npy", np.full((3, 5, 7), 100, np.float32))
    words = [*SEVERAL, "--net", files / "tiny.prototxt", "--weights", files / "tiny.caffemodel", "--labels", files / "tiny.txt"]
    words += ["--init", files / "init.png", "--mean", files / "mean.npy"]
    crashed(out, *words, runs=1)
    if name == "init.png":
        Image.fromarray(np.full((24, 24, 3), 91, np.uint8)).save(files / name)
    elif name == "mean.npy":  # the same mean for each channel, other pixels
        np.save(files / name, np.full((3, 5, 7), 100, np.float32) + np.linspace(-1, 1, 35, dtype=np.float32).reshape(5, 7))
    else:
        (files / name).write_bytes(
            (files / name).read_bytes() + {".prototxt": b"# note\n", ".txt": b"", ".caffemodel": b""}[Path(name).suffix]
        )
        if name == "tiny.txt":
            (files / name).write_text((files / name).read_text().upper())
        if name == "tiny.caffemodel":
            content = bytearray((files / name).read_bytes())
            content[len(content) // 2] ^= 1
            (files / name).write_bytes(content)
    result = call(*words, *QUICK, "-o", out, "--resume")
    assert result.exit_code == 2, result.output
    assert f"{files / name} has changed" in result.stderr


def test_begun_anew_again_and_again_loses_nothing(tmp_path: Path) -> None:
    out, old = tmp_path / "a.png", tmp_path / "a.png.checkpoint.old"
    old.write_text("the user's own")
    words = {seed: (*SEVERAL, "--seed", seed) for seed in (1, 2, 3)}
    whole = {}
    for seed, targets in words.items():
        assert call(*targets, *QUICK, "-o", tmp_path / f"whole{seed}.png").exit_code == 0
        whole[seed] = read_written(tmp_path / f"whole{seed}.png")
    crashed(out, *words[1], runs=1)
    crashed(out, *words[2], runs=1)
    crashed(out, *words[3], runs=1)
    assert old.read_text() == "the user's own"
    for seed, kept in ((1, "a.png.checkpoint.old2"), (2, "a.png.checkpoint.old3")):
        assert (tmp_path / kept / "batch1-stage0").is_file()
        assert read_metadata(tmp_path / kept / "conv2-3.png")["settings"]["seed"] == seed
    for seed, kept in ((3, None), (1, "a.png.checkpoint.old2"), (2, "a.png.checkpoint.old3")):
        if kept is not None:  # back at its place it is resumed, its finished image too
            (tmp_path / kept).rename(tmp_path / "a.png.checkpoint")
        finished = tmp_path / ("a" if kept is None else "a.png.checkpoint") / "conv2-3.png"
        inode = finished.stat().st_ino
        assert call(*words[seed], *QUICK, "-o", out, "--resume").exit_code == 0
        assert np.array_equal(read_written(out), whole[seed])
        assert (tmp_path / "a" / "conv2-3.png").stat().st_ino == inode
        assert not (tmp_path / "a.png.checkpoint").exists()


def test_what_a_folder_of_ours_holds_that_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "a.png.checkpoint").mkdir()
    (tmp_path / "a.png.checkpoint" / "notes.txt").write_text("the user's own")
    assert call("-t", "conv2:3", *QUICK, "-o", tmp_path / "a.png").exit_code == 0
    assert set(contents(tmp_path)) == {"a.png", "a.png.checkpoint/notes.txt"}


def test_an_image_of_another_job_is_not_taken_for_finished(tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    crashed(out, *SEVERAL, runs=1)
    other = tmp_path / "other.png"
    assert call("-t", "conv2:5", *QUICK, "-o", other).exit_code == 0
    shutil.copy(other, tmp_path / "a" / "conv2-3.png")
    assert call(*SEVERAL, *QUICK, "-o", out, "--resume").exit_code == 0
    assert read_metadata(tmp_path / "a" / "conv2-3.png")["target"] == "conv2:3"
    assert not np.array_equal(read_written(tmp_path / "a" / "conv2-3.png"), read_written(other))


@pytest.mark.parametrize("running", [False, True])
def test_a_job_that_is_refused_leaves_the_one_that_is_there(tmp_path: Path, running: bool) -> None:
    """Whether it was killed before its first checkpoint, or has not come to it: there is nothing finished in it yet."""
    from dreamopt.recipes.store import FolderStore

    network, out = dreamopt.load_net(device="cpu"), tmp_path / "a.png"
    first, other = (plan_render(network, "conv2:3", Settings(size=24, steps=steps)) for steps in (2, 3))
    store = FolderStore(out)
    store.open(first)
    if not running:
        store.close()
    before = contents(tmp_path)
    assert "a.png.checkpoint/job.json" in before
    sentence = "another render to .* is running" if running else "keeps a rendering with other"
    with pytest.raises(UsageError, match=sentence):
        run_plan(other, network, store=FolderStore(out, resume=not running))
    with pytest.raises(UsageError, match=sentence), FolderStore(out, resume=not running) as second:
        second.open(other)
    assert contents(tmp_path) == before
    store.close()


def test_one_render_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    words = ["render", "-t", "scores:0", "--size", "32", "--steps", "100000", "--checkpoint", "1", "--device", "cpu", "-q", "-o", str(out)]
    first = subprocess.Popen(
        [sys.executable, "-m", "dreamopt", *words], env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    )
    try:
        while first.poll() is None and not (tmp_path / "a.png.checkpoint" / "batch0-stage0").exists():
            time.sleep(0.05)
        assert first.poll() is None
        for resume in ([], ["--resume"]):
            second = call("-t", "scores:7", *QUICK, "-o", out, *resume)
            assert second.exit_code == 2
            assert "another render to" in second.stderr
        assert (tmp_path / "a.png.checkpoint" / "batch0-stage0").is_file()
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    refused = call("-t", "scores:7", *QUICK, "-o", out, "--resume")
    assert refused.exit_code == 2
    assert "['scores:0'] there, ['scores:7'] here" in refused.stderr
    crashed(out, "-t", "scores:7")  # begun anew: the killed one's checkpoint is moved aside
    assert (tmp_path / "a.png.checkpoint.old" / "batch0-stage0").is_file()
    assert call("-t", "scores:7", *QUICK, "-o", out, "--resume").exit_code == 0
    assert read_metadata(out)["target"] == "scores:7"
    assert call("-t", "scores:7", *QUICK, "-o", tmp_path / "b.png").exit_code == 0
    assert np.array_equal(read_written(out), read_written(tmp_path / "b.png"))
