"""What docs/gallery.md prints makes the images that it shows: each command is typed in a folder with SqueezeNet's files, with few steps and pixels."""

from __future__ import annotations

import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dreamopt
from dreamopt.cli.app import cli
from dreamopt.data.textures import texture_image
from tests.support.documents import DOCS
from tests.support.printed import commands

FEWER = ("--device=cpu", "--steps=1", "--views=1", "--octaves=1")
PAGE = (DOCS / "gallery.md").read_text(encoding="utf-8")
WHOLE = [text for text in commands()["gallery.md"] if "--preset" in text]
FORMS = [" ".join(text.split()) for text in re.findall(r"`dreamopt (render [^`]*'TEXT'[^`]*)`", PAGE)]

MADE = ("deepdream2015", "default")
"""Presets whose images are made; one of octaves, from a photograph, and one from noise."""


@pytest.fixture
def folder(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DREAMOPT_CACHE", str(tmp_path / "cache"))
    for name in ("deploy.prototxt", "squeezenet.caffemodel", "labels.txt"):
        shutil.copyfile(shared / "models" / "squeezenet" / name, tmp_path / name)
    Image.fromarray(texture_image("faces", 0)).save("cat.png")
    return tmp_path


def run(text: str, size: int) -> Image.Image:
    """Run a command with this size, and return its image."""
    result = CliRunner().invoke(cli, [*shlex.split(text), *FEWER, f"--size={size}", "--force"])
    assert result.exit_code == 0, f"{text}\n{result.output}"
    with Image.open(text.split()[-1]) as image:
        return image.convert("RGB")


def spread(path: Path) -> float:
    """Return the standard deviation of an image's grey levels."""
    with Image.open(path) as image:
        return float(np.asarray(image.convert("L"), float).std())


def test_the_same_units_under_every_preset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `MADE` make their images; of the others, which take long, all is resolved, up to the first step."""
    planned: list[tuple[str, ...]] = []

    def plan(plan: Any, *_: object, **__: object) -> None:
        planned.append(tuple(sample.text for sample in plan.samples))
        raise click.exceptions.Exit(0)

    for text in WHOLE:
        name = text.split()[-1].removesuffix(".png")
        assert f"--preset {name}" in text
        assert (DOCS / "images" / "gallery" / f"{name}.jpg").is_file()
        if name in MADE:
            run(text, 40)
            images = sorted((folder / name).glob("*.png"))
            assert len(images) == 6
            assert all(spread(image) > 0.5 for image in images), text
            continue
        with monkeypatch.context() as patch:
            patch.setattr(import_module("dreamopt.recipes.render"), "run_plan", plan)
            result = CliRunner().invoke(cli, shlex.split(text))
        assert result.exit_code == 0, f"{text}\n{result.output}"
    assert len(planned) == len(WHOLE) - len(MADE)
    assert {len(samples) for samples in planned} == {6}
    shown = re.findall(r"\(images/gallery/([\w-]+)\.jpg\)", PAGE)
    assert [text.split()[-1].removesuffix(".png") for text in WHOLE] == [
        name for name in shown if name not in ("objectives", "regularizers")
    ]


def test_objectives_and_regularizers(folder: Path) -> None:
    net = dreamopt.load_net("deploy.prototxt", "squeezenet.caffemodel", labels="labels.txt")
    seen = net.activations_of("cat.png", ["fire5/concat"], 96)["fire5/concat"][0].cpu().numpy()
    np.save("tensor.npy", seen)
    np.save("column.npy", seen.mean((1, 2)))
    of_objectives, of_regularizers = FORMS
    targets = re.findall(r"^- [\w ]+: `(.*)`$", PAGE, re.MULTILINE)
    assert len(targets) > 15
    for target in targets:
        more = " --variants 2" if re.search("Diversity|Alignment", target) else ""
        image = run(of_objectives.replace("'TEXT'", shlex.quote(target)).replace(" -o", f"{more} -o"), 96)
        assert np.asarray(image.convert("L"), float).std() > 0.5, target
    run(of_regularizers.replace("TEXT", "total_variation(1e-5)"), 96)
