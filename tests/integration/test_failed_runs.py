"""A run that fails leaves nothing behind: no empty folder, no lock, no temporary file, no checkpoint of what was never begun."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dreamopt.cli import main
from dreamopt.errors import ObjectiveError

execution = importlib.import_module("dreamopt.recipes.execute")  # a function of the package has its name
DEAD = """
name: "dead"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 17 dim: 16 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3
  weight_filler { type: "constant" value: 0 } bias_filler { type: "constant" value: -1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "relu" }
"""
QUICK = "--octaves 1 --steps 1"
# What is tried, and where it writes; {t} is the target, {o} the output, {i} the image.
COMMANDS = {
    "render": ("render --steps 1 --size 24 -t {t} -o {o}.png", "conv1:1"),
    "render several": ("render --steps 1 --size 24 -t {t} -t {t} -o {o}.png", "conv1:1"),
    "dream": ("dream {i} " + QUICK + " -t {t} -o {o}.png", "conv2"),
    "dream several": ("dream {i} {i} " + QUICK + " -t {t} -o {o}", "conv2"),
    "film": ("dream frames " + QUICK + " -t {t} -o {o}.mp4", "conv2"),
    "zoom": ("zoom {i} --seconds 1 --fps 2 " + QUICK + " -t {t} -o {o}.mp4", "conv2"),
    "attribute": ("attribute {i} -t {t} -o {o}.png", "conv2:1"),
    "attribute several": ("attribute {i} -m gradient -m saliency -t {t} -o {o}.png", "conv2:1"),
    "compare": ("attribute {i} --compare -m gradient -t {t} -o {o}", "conv2:1"),
    "top": ("top {i} --steps 1 -t {t} -o {o}", "conv2:1"),
    "bench": ("bench --size 24 --budget 4 --trials 1 --seeds 1 --vary optimizer=adam,ascent -t {t} -o {o}", "conv2:1"),
    "atlas": ("atlas --size 24 --steps 1 --units 1 --piece image --no-site --layers {t} -o {o}", "conv2"),
    "activations": ("activations {i} --layers {t} -o {o}.png", "conv2"),
    "replay": ("replay {i} -o {o}.png", ""),
    "models": ("models get squeezenet_v1.0 --offline -o {o}", ""),
}
TAKES_IMAGE = [name for name, (words, _) in COMMANDS.items() if "{i}" in words]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3)).astype(np.uint8)).save("a.png")
    Path("frames").mkdir()
    for number in range(2):
        shutil.copy("a.png", f"frames/{number}.png")
    Path("dead.prototxt").write_text(DEAD)
    Path("bad.caffemodel").write_bytes(b"\xff\xfejunk" * 10)
    Path("bad.png").write_bytes(b"nothing")
    Path("file").write_text("a file")
    return tmp_path


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def failures(name: str) -> Iterator[tuple[str, str]]:
    """Yield what goes wrong, and the command."""
    words, target = COMMANDS[name]

    def said(target: str = target, out: str = "new/below/o", image: str = "a.png") -> str:
        return words.format(t=target, o=out, i=image)

    if "{t}" in words:
        layer, _, unit = target.partition(":")
        yield "no such layer", said("none:1" if unit else "none")
        yield "no such unit", said(f"{layer}:99999")
        yield "no net", said() + " --net nowhere.prototxt"
        yield "damaged weights", said() + " --net dead.prototxt --weights bad.caffemodel"
        yield "a value that is none", said() + " --size -3"
        yield "a file where a folder should be", said(out="file/o")
    if "{i}" in words:
        yield "no image", said(image="gone.png")
        yield "a damaged image", said(image="bad.png")
    if name in ("render", "render several", "dream", "dream several", "zoom"):
        yield "no gradient", said("relu:1" if ":" in target else "relu") + " --net dead.prototxt"
    if name in ("replay", "models"):
        yield "nothing to begin with", said()


CASES = [(name, what, words) for name in COMMANDS for what, words in failures(name)]


def test_failed_runs_leave_nothing(here: Path) -> None:
    """One test over all: that the processes and nets are warm is what makes it cheap."""
    before, wrong = tree(here), []
    for name, what, words in CASES:
        result = CliRunner().invoke(main, [*words.split(), "-q"] if name != "activations" else words.split())
        left = [path for path in tree(here) if path not in before]
        if result.exit_code not in (1, 2) or left or not (result.exception is None or isinstance(result.exception, SystemExit)):
            wrong.append(f"{name}, {what}: exit code {result.exit_code}, left {left}: {result.stderr[-300:]} {result.exception!r}")
    assert not wrong, "\n".join(wrong)
    assert tree(here) == before


@pytest.mark.parametrize("name", ["render several", "dream", "film", "zoom"])
def test_an_error_after_the_work_began_leaves_nothing(name: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory, a value that is not finite: whatever is found in the first step, with the output's files open."""

    def broken(*_: object, **__: object) -> None:
        raise ObjectiveError("it is not finite")

    monkeypatch.setattr(execution, "execute_batch", broken)
    words, target = COMMANDS[name]
    before = tree(here)
    result = CliRunner().invoke(main, words.format(t=target, o="new/below/o", i="a.png").split())
    assert result.exit_code == 1
    assert "it is not finite" in result.stderr
    assert tree(here) == before


def test_what_can_be_resumed_stays(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second image fails: the first is there, and a resumed job makes the other."""
    words = ["render", "--steps", "1", "--size", "24", "--batch-size", "1", "-t", "conv1:1", "-t", "conv1:2", "-o", "new/o.png"]
    made, calls = execution.execute_batch, []

    def second_fails(*args: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise ObjectiveError("it is not finite")
        return made(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(execution, "execute_batch", second_fails)
    assert CliRunner().invoke(main, words).exit_code == 1
    kept = tree(here / "new")
    assert "o/conv1-1.png" in kept
    assert "o.png.checkpoint/job.json" in kept
    result = CliRunner().invoke(main, [*words, "--resume"])
    assert result.exit_code == 0, result.stderr
    assert len(calls) == 3
    assert tree(here / "new") == ["o", "o.png", "o/conv1-1.png", "o/conv1-2.png"]
