"""The training script: a run cut in two is the same run, and what it writes is what it learned."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch

import dreamopt.data
import tools.train_tiny
from dreamopt.data.textures import CLASSES, batch
from dreamopt.engine.net import Net
from tools.train_tiny import SIZE, Training

PROTOTXT = Path(dreamopt.data.__file__).parent / "tiny.prototxt"


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.train_tiny, "BATCH", 5)


@functools.cache
def images() -> np.ndarray:
    return np.stack([batch(range(len(CLASSES)), 0, 0, size=SIZE)])


def make_run(batches: int = 4) -> Training:
    return Training(PROTOTXT, images(), batches, seed=1)


def test_a_resumed_run_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    whole, first, second = make_run(), make_run(), make_run()
    for _ in range(3):
        whole.step()
    first.step()
    first.keep(tmp_path / "half")
    second.resume(tmp_path / "half")
    second.step()
    second.step()
    for name, weights in whole.weights.items():
        for mine, theirs in zip(weights, second.weights[name], strict=True):
            assert torch.equal(mine, theirs), name


def test_the_caffemodel_holds_what_was_learned(tmp_path: Path) -> None:
    run = make_run()
    before = run.weights["scores"][0].detach().clone()
    run.step()
    run.project_params(2)
    run.save(tmp_path / "tiny.caffemodel")
    assert not torch.equal(before, run.weights["scores"][0])
    x = torch.linspace(-100, 100, 3 * 64 * 80).reshape(1, 3, 64, 80)
    again = Net(PROTOTXT, tmp_path / "tiny.caffemodel").program(["scores"])({"data": x})["scores"]
    torch.testing.assert_close(again, run.test({"data": x}, run.weights)["scores"].detach())
