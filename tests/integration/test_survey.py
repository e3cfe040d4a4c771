"""A survey of a set: killed and gone on with, in bounded memory, with units that are dead and always on by construction."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dreamopt
from dreamopt.dataset.frames import Fit, read_frame
from dreamopt.dataset.top_images import rounded
from dreamopt.errors import DreamoptWarning, ImageError, TargetError, UsageError
from dreamopt.network import Network
from dreamopt.recipes.survey import run_survey
from tests.support.nets import conv, image_input

LAYERS = ["conv1", "mixed3", "scores"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """33 images of odd sizes in two folders, one of them none."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(3)
    (folder / "more").mkdir()
    for number in range(33):
        levels = rng.integers(0, 256, (int(rng.integers(3, 12)), int(rng.integers(3, 12)), 3), np.uint8)
        image = Image.fromarray(levels).resize((int(rng.integers(40, 170)), int(rng.integers(40, 170))), Image.Resampling.BICUBIC)
        image.save(folder / ("more" if number % 4 == 0 else ".") / f"{number:02d}.png")
    (folder / "07.png").write_bytes(b"no image")
    return folder


KILLED = """
import os, signal, sys
import dreamopt
from dreamopt.recipes.survey import run_survey

def killed(progress):
    if progress.done > int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

net = dreamopt.load_net(device="cpu")
run_survey(net, sys.argv[2], ["conv1", "mixed3", "scores"], sys.argv[3], k=3, sample=9, places=11, scores="scores", batch=4, progress=killed, every=0)
"""


def test_a_killed_survey_goes_on_to_equal_bytes(photos: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = {"k": 3, "sample": 9, "places": 11, "scores": "scores", "batch": 4}
    expected = run_survey(dreamopt.load_net(device="cpu"), photos, LAYERS, whole, **options)  # type: ignore[arg-type]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for done in (6, 15):  # twice, each time in the middle
        ended = subprocess.run([sys.executable, "-c", KILLED, str(done), str(photos), str(killed)], env=environment, timeout=300)
        assert ended.returncode == -signal.SIGKILL
    first = []
    found = run_survey(dreamopt.load_net(device="cpu"), photos, LAYERS, killed, progress=first.append, **options)  # type: ignore[arg-type]
    assert first[0].done > 15
    assert (killed / "state.json").read_bytes() == (whole / "state.json").read_bytes()
    assert (found.progress.images, found.progress.skipped) == (32, 1)
    assert found.progress.reasons[0][0].endswith("07.png")
    for layer, unit in (("conv1", 3), ("mixed3", 100), ("scores", 31)):
        assert found.describe(layer, unit) == expected.describe(layer, unit)
        # A third time everything is there: nothing passes through the net again.
    calls = []
    run_survey(dreamopt.load_net(device="cpu"), photos, LAYERS, killed, progress=calls.append, **options)  # type: ignore[arg-type]
    assert len(calls) == 1
    assert calls[0].complete


def test_another_request_begins_anew(photos: Path, tmp_path: Path) -> None:
    net = dreamopt.load_net(device="cpu")
    few = sorted(photos.glob("*.png"))[:3]
    run_survey(net, few, ["conv1"], tmp_path / "out", k=2)
    with pytest.warns(DreamoptWarning, match="begins anew"):
        found = run_survey(net, few, ["conv1"], tmp_path / "out", k=1)
    assert len(found.shown("conv1", 0)) == 1 + 4


def test_examples_are_cut_out_of_their_images(photos: Path) -> None:
    net = dreamopt.load_net(device="cpu")
    found = run_survey(net, photos, ["conv1", "mixed3", "scores"], k=2)
    shown = [one for layer, unit in (("conv1", 5), ("mixed3", 7), ("scores", 3)) for one in found.shown(layer, unit)]
    assert [one.kind for one in shown[:6]] == ["top", "top", *["quantile"] * 4]
    values = [one.image.value for one in shown[2:6]]
    assert values == sorted(values, reverse=True)
    assert shown[0].image.value >= values[0]
    crops = dict(found.crops(shown))
    assert len(crops) == len(shown)
    for one, crop in crops.items():
        assert crop is not None
        np.testing.assert_array_equal(crop, one.image.cut(rounded(read_frame(one.image.entry, Fit(), net).image)))
        assert found.name_of(one.image) in {str(path.relative_to(photos)) for path in photos.rglob("*.png")}
    assert crops[shown[0]].shape == (7, 7, 3)  # type: ignore[union-attr]
    assert crops[shown[-1]].shape == (96, 96, 3)  # type: ignore[union-attr]


@pytest.fixture
def constructed(tmp_path: Path) -> Network:
    """Three units whose biases decide: below zero always, above zero always, now and then."""
    path = tmp_path / "net.prototxt"
    path.write_text(
        image_input(shape=(1, 3, 9, 11)) + conv("a", "data", 3, "kernel_size: 2", relu=True) + conv("b", "a", 2, "kernel_size: 1")
    )
    net = dreamopt.load_net(path, device="cpu", seed=1)
    weights = net.weights()
    kernel, _ = weights["a"]
    kernel = np.full_like(kernel, 0.01)
    return net.with_weights({**weights, "a": [kernel, np.array([-1e4, 1e4, 0], np.float32)]})


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
def test_dead_units_and_units_that_are_always_on(constructed: Network, photos: Path) -> None:
    found = run_survey(constructed, photos, ["a", "a_relu", "b"])
    # Before the ReLU that alone reads them, and behind it.
    for layer in ("a", "a_relu"):
        assert [found.state_of(layer, unit) for unit in range(3)] == ["dead", "always on", "active"]
    assert [found.state_of("b", unit) for unit in range(2)] == ["active", "active"]  # never a state of a layer that no ReLU reads
    assert [found.describe("a_relu", unit)["zeros"] for unit in range(2)] == [1.0, 0.0]
    assert 0 < found.describe("a_relu", 2)["zeros"] < 1


MEMORY = """
import resource, sys
import dreamopt
from dreamopt.recipes.survey import run_survey

net, seen = dreamopt.load_net(device="cpu"), []
run_survey(net, sys.argv[1], ["conv1", "mixed3"], k=3, sample=40, places=40, batch=4, size=192,
           progress=lambda _: seen.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))
print(seen[len(seen) // 3], seen[-1], len(seen))
"""


def test_memory_does_not_grow_with_the_set(photos: Path, tmp_path: Path) -> None:
    good = [path for path in sorted(photos.rglob("*.png")) if path.name != "07.png"]
    for number in range(120):
        (tmp_path / f"{number:03d}.png").write_bytes(good[number % len(good)].read_bytes())
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    third, last, batches = map(int, ended.stdout.split())
    assert batches == 31
    # The values of the 80 images between take 150 MiB.
    assert last - third < 50


def test_what_cannot_be_surveyed_is_said(photos: Path, tmp_path: Path) -> None:
    net = dreamopt.load_net(device="cpu")
    with pytest.raises(TargetError, match="mixed33"):
        run_survey(net, photos, ["mixed33"])
    with pytest.raises(UsageError, match="at least one layer"):
        run_survey(net, photos, [])
    with pytest.raises(UsageError, match="quantiles"):
        run_survey(net, photos, ["conv1"], quantiles=(0.0,))
    with pytest.raises(UsageError, match="no image"):
        run_survey(net, tmp_path, ["conv1"])
    (tmp_path / "bad.png").write_bytes(b"none")
    with pytest.raises(ImageError, match="none of the 1 images"):
        run_survey(net, tmp_path, ["conv1"])
