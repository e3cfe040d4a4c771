"""Reading a net: its prototxt, its weights as caffemodel and as HDF5, all of it by ``load_net``; the files are in the system's cache.

SqueezeNet has 5 MB; CaffeNet, with weights by chance, 240 MB.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cases import load, required, shared
from dreamopt.engine import Net
from dreamopt.errors import DreamoptWarning
from dreamopt.network import load_net

pytest.importorskip("pytest_benchmark")

ENDINGS = ("caffemodel", "h5")


@pytest.fixture(scope="module", params=["squeezenet", "caffenet"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a net's weights in both formats; they go with the module."""
    case = required(request.param)
    net, folder = load(case), tmp_path_factory.mktemp(case.name)
    paths = {"prototxt": shared() / case.prototxt}
    for ending in ENDINGS:
        paths[ending] = folder / f"net.{ending}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DreamoptWarning)  # Caffe itself reads no HDF5 of layers with a slash in their name
            net.save(paths[ending])
    return paths


def timed(benchmark: Any, group: str, path: Path, work: Callable[[], object]) -> None:
    benchmark.group = group
    benchmark.pedantic(work, rounds=7, warmup_rounds=1)
    size = path.stat().st_size
    benchmark.extra_info["bytes"] = size
    if not benchmark.disabled:
        benchmark.extra_info["megabytes_per_second"] = size / 1e6 / benchmark.stats.stats.median


def test_prototxt(files: dict[str, Path], benchmark: Any) -> None:
    """The text, its check and the net's shapes, with weights by its fillers."""
    timed(benchmark, "a net of a prototxt", files["prototxt"], partial(Net, files["prototxt"], device="cpu"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_weights(ending: str, files: dict[str, Path], benchmark: Any) -> None:
    net = Net(files["prototxt"], device="cpu")
    timed(benchmark, f"weights of a .{ending}", files[ending], partial(net.copy_from, files[ending]))


@pytest.mark.parametrize("ending", ENDINGS)
def test_load_net(ending: str, files: dict[str, Path], benchmark: Any) -> None:
    timed(benchmark, f"load_net, .{ending}", files[ending], partial(load_net, files["prototxt"], files[ending], device="cpu"))
