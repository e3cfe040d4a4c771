"""What the programs in ``tests/programs`` need beside them, and how they are run with dreamopt."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamopt.data import PROTOTXT, WEIGHTS

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = sorted(p for p in (ROOT / "tests/programs").glob("*.py") if p.name != "__init__.py")
# For forks of Caffe: Caffe itself cannot run these.
FOR_FORKS = sorted((ROOT / "tests/programs/forks").glob("[!_]*.py"))
Arrays = dict[str, npt.NDArray[Any]]


def files() -> dict[str, bytes]:
    """Return the embedded net, the same with force_backward, and two smooth images."""
    text = Path(PROTOTXT).read_bytes()
    pictures = {}
    for name, (h, w), phase in (("sky.png", (101, 120), 0.0), ("guide.png", (96, 97), 1.3)):
        y, x = np.mgrid[:h, :w]
        # chirps: what repeats itself makes ties in max pooling, which two programs may break differently
        waves = [
            np.sin(x**2 / 500 + phase) * np.cos(y / 13),
            np.cos(x / 17 - y**2 / 400 + phase),
            np.sin(np.hypot(x - 50, y - 40) ** 1.5 / 40),
        ]
        buffer = io.BytesIO()
        Image.fromarray(np.stack([127 + 90 * v for v in waves], -1).astype(np.uint8)).save(buffer, "png")
        pictures[name] = buffer.getvalue()
    return {
        "tiny.prototxt": text,
        "forced.prototxt": b"force_backward: true\n" + text,
        "tiny.caffemodel": Path(WEIGHTS).read_bytes(),
        **pictures,
    }


def run(program: Path, folder: Path, options: Sequence[str] = ()) -> Arrays:
    """Run a program by ``python -m dreamopt.caffe`` in a folder with its files; return what it saved."""
    for name, content in files().items():
        (folder / name).write_bytes(content)
    command = [sys.executable, "-m", "dreamopt.caffe", *options, str(program), "out.npz"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "out.npz") as found:
        return dict(found)


def run_script(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -m dreamopt.caffe`` with arguments in a folder, as somebody whose environment allows nothing."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("DREAMOPT_ALLOW_PYTHON_LAYERS", None)
    return subprocess.run(
        [sys.executable, "-m", "dreamopt.caffe", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
