"""What the programs in ``tests/programs`` need beside them, and how they are run with dreamopt."""

from __future__ import annotations

import atexit
import functools
import io
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamopt.data import PROTOTXT, WEIGHTS
from tests.support.warm import Warm

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


@functools.cache
def _warm() -> Warm:
    environment = {"PYTHONPATH": str(ROOT), "DREAMOPT_ALLOW_PYTHON_LAYERS": None}
    process = Warm(["google.protobuf.text_format", "PIL.Image", "scipy.optimize", "skimage.transform", "torch"], environment=environment)
    atexit.register(process.close)
    return process


def run(program: Path, folder: Path, options: Sequence[str] = ()) -> Arrays:
    """Run a program by ``python -m dreamopt.caffe`` in a folder with its files; return what it saved."""
    for name, content in files().items():
        (folder / name).write_bytes(content)
    done = run_script(*options, str(program), "out.npz", folder=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "out.npz") as found:
        return dict(found)


def run_script(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -m dreamopt.caffe`` with arguments in a folder, as somebody whose environment allows nothing."""
    return _warm().run(["-m", "dreamopt.caffe", *arguments], folder)
