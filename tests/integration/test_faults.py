"""Nothing finished is ever lost: the k-th change of the disk fails, or the process is killed at it, for every k of a command."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dreamopt.data.textures import texture_image

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--size", "24", "--steps", "2", "--parametrization", "pixels()", "--checkpoint", "1", "--device", "cpu", "-q", "-o", "a.png")
SEVERAL = ("-t", "conv2:3", "-t", "scores:7", "--batch-size", "1")
SINGLE = ("-t", "conv2:3")
FILES = {SEVERAL: ["a", "a.png", "a/conv2-3.png", "a/scores-7.png"], SINGLE: ["a.png"]}
EXIT = {"error": {0, 1}, "full": {0, 1}, "kill": {-9}, "interrupt": {130}}


@pytest.mark.parametrize(
    ("targets", "fault"),
    [*((SEVERAL, fault) for fault in ("error", "full", "kill", "interrupt")), *((SINGLE, fault) for fault in ("kill", "interrupt"))],
    ids=lambda value: value if isinstance(value, str) else "several" if value is SEVERAL else "single",
)
def test_after_every_fault_the_images_are_there_or_resume_gives_them(tmp_path: Path, targets: tuple[str, ...], fault: str) -> None:
    command = [sys.executable, "-m", "tests.support.faults", str(tmp_path), fault, "render", *targets, *QUICK]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    first, *faults = [json.loads(line) for line in ran.stdout.splitlines()]
    assert first["files"] == FILES[targets]
    assert first["changes"] >= {1: 25, 4: 50}[len(first["files"])]
    assert len(faults) >= first["changes"] // 2
    assert set(first["kinds"]) >= {"mkdir", "open", "write", "fsync", "replace", "unlink", "rmdir"}
    for line in faults:
        check(line, first["files"], fault)


def check(line: dict[str, Any], expected: list[str], fault: str) -> None:
    assert line["code"] in EXIT[fault], line
    assert "Traceback" not in line["printed"], line
    if line["code"] == 0:  # it could do without what failed: a checkpoint, or the removal of a file that is not needed any more
        assert set(expected) <= set(line["before"]), line
    # What stands under a final name is whole: the image, or after Ctrl-C the best so far.
    assert fault == "interrupt" or not line["other"], line
    if line["at"] == 1:  # nothing was begun
        assert line["before"] == []
        assert line["resumed"] == 2
        assert "nothing to resume" in line["resume_printed"]
        return
    # The same bytes: pixels and metadata, the sheet's too; nothing is left over; and an image that was there was not written again.
    assert (line["resumed"], line["same"], line["after"]) == (0, True, expected), line
    assert line["rewritten"] == [], line


@pytest.mark.parametrize("fault", ["error", "full", "kill", "interrupt"])
def test_after_every_fault_top_images_are_there_or_resume_gives_them(tmp_path: Path, fault: str) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        Image.fromarray(texture_image("dots", number)).save(images / f"{number}.png")
    words = ["top", str(images), "-t", "conv2:3", "-k", "1", "--batch", "2", "-o", "top", "--steps", "1", "--device", "cpu", "-q"]
    command = [sys.executable, "-m", "tests.support.faults", str(tmp_path), fault, *words]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    first, *faults = [json.loads(line) for line in ran.stdout.splitlines()]
    names = ["conv2-3", "conv2-3.png", "conv2-3/01.png", "conv2-3/synthesized.png", "lock", "ranking.csv", "ranking.json", "state.json"]
    assert first["files"] == ["top", *(f"top/{name}" for name in names)]
    assert first["changes"] > 25
    assert len(faults) >= first["changes"] // 2
    for line in faults:
        assert line["code"] in EXIT[fault], line
        assert "Traceback" not in line["printed"], line
        # A state is of how far it was, and after Ctrl-C so are the rest; all else that stands under its name is whole.
        assert fault == "interrupt" or set(line["other"]) <= {"top/state.json"}, line
        assert (line["resumed"], line["same"], line["after"]) == (0, True, first["files"]), line
