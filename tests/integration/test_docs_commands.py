"""What the how-to pages tell to type does what they say: each command of a page runs, one after the other, in a folder with the files it names."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dreamopt.cli.app import cli
from dreamopt.data import PROTOTXT, WEIGHTS
from tests.support.documents import DOCS, blocks

PAGES = sorted((DOCS / "how-to").glob("*.md"))
SMALL = ("--device=cpu", "--steps=1", "--size=40")
MORE = {
    "activations": ("--device=cpu",),
    "atlas": (*SMALL, "--units=0", "--piece=image", "--no-site"),
    "attribute": ("--device=cpu", "--size=48"),
    "bench": ("--device=cpu", "--size=24", "--budget=2evals", "--trials=1", "--seeds=1", "--measure=total_variation", "--processes=1"),
    "dream": ("--device=cpu", "--steps=1", "--octaves=1"),
    "render": (*SMALL, "--memory=4GB"),
    "replay": ("--device=cpu",),
    "top": ("--device=cpu", "--steps=1"),
    "zoom": ("--device=cpu", "--steps=1", "--octaves=1", "--seconds=0.2"),
}
"""What is added to each command, the later option counts: small images and few steps."""
FEWER = {"mixed4:0-5": "mixed4:0"}
"""Units of a study in place of those that the page names."""
WRITTEN = re.compile(r"-o (\S+)")


def commands(page: Path) -> list[str]:
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.startswith("dreamopt ")]


@pytest.mark.parametrize("page", [pytest.param(page, id=page.stem) for page in PAGES if commands(page)])
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DREAMOPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("dreamopt.study.report.write._draw", lambda *_: "")  # plots take seconds, and have tests of their own
    _bring_files(tmp_path)
    for line in commands(page):
        words = [FEWER.get(word, word) for word in shlex.split(line)[1:]]
        result = CliRunner().invoke(cli, [*words, *MORE.get(words[0], ())])
        assert result.exit_code == 0, f"{line}\n{result.output}"
        for name in WRITTEN.findall(line):
            assert list(tmp_path.glob(f"{Path(name).stem}*")), f"{line} wrote no {name}"


def test_there_are_commands() -> None:
    typed = {line.split()[1] for page in PAGES for line in commands(page)}
    assert typed >= {*MORE, "inspect"}
    others = {line.split()[0] for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()}
    assert others == {"dreamopt", "python"}  # `python -m dreamopt.caffe` runs in tests/integration/test_old_programs.py


def _bring_files(folder: Path) -> None:
    """Write what pages name: a net, its labels, photographs, a mask, a guide."""
    shutil.copyfile(PROTOTXT, folder / "deploy.prototxt")
    shutil.copyfile(WEIGHTS, folder / "net.caffemodel")
    shutil.copyfile(PROTOTXT.with_suffix(".txt"), folder / "labels.txt")
    (folder / "photos").mkdir()
    random = np.random.default_rng(0)
    for name in ("photo.jpg", "flowers.jpg", "photos/a.jpg", "photos/b.jpg"):
        Image.fromarray(random.integers(0, 256, (6, 8, 3)).astype(np.uint8)).resize((64, 48)).save(folder / name)
    Image.fromarray(np.pad(np.full((24, 32), 255, np.uint8), ((12, 12), (16, 16)))).save(folder / "mask.png")
