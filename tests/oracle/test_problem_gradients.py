"""A Problem's value and gradient against real Caffe's blobs and diffs: before and after an in-place ReLU, sums, batches."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from dreamopt.errors import DreamoptWarning
from dreamopt.network import load_net
from dreamopt.objective import each
from dreamopt.objectives import Channel, ClassScore, Neuron
from dreamopt.problem import Problem
from tests.support.oracle.harness import Oracle
from tests.support.toy import PROTOTXT


def caffes(
    oracle: Oracle, prototxt: str, weights: bytes, x: np.ndarray, layer: str, blob: str, seed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Caffe's value of a blob after ``layer``, and the data's diff for a seed in the blob's diff."""
    run = oracle.run(prototxt, weights=weights, inputs={"data": x}, seeds={blob: seed}, end=layer, keep=["data", blob], want_weights=False)
    return run.blobs[blob], run.diffs["data"]


def close(mine: np.ndarray, theirs: np.ndarray) -> None:
    assert np.linalg.norm(mine - theirs) <= 1e-4 * np.linalg.norm(theirs)
    assert np.linalg.norm(theirs) > 0


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("small")
    (folder / "net.prototxt").write_text(PROTOTXT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)
        load_net(folder / "net.prototxt", device="cpu").backend.net.save(folder / "net.caffemodel")  # type: ignore[attr-defined]
    return folder / "net.prototxt", folder / "net.caffemodel"


@pytest.mark.parametrize(
    ("objective", "layer", "blob"),
    [
        (Channel("conv1", (2, 0)), "conv1", "conv1"),
        (Channel("relu1", (2, 0)), "relu1", "conv1"),
        (Neuron("conv1", (1, 3), (2, 14), (16, 5)), "conv1", "conv1"),
        (Neuron("both", (1, 9)), "both", "both"),
        (ClassScore("fc", (6, 2)), "fc", "fc"),
    ],
    ids=str,
)
def test_small_net(oracle: Oracle, small: tuple[Path, Path], objective: Channel, layer: str, blob: str) -> None:
    problem = Problem(load_net(*small, device="cpu"), objective)
    params = problem.start(3)
    found = problem.evaluate(params)
    shape = (2, *problem.network.shape_of(layer))
    seed = np.zeros(shape, np.float32)
    for i in range(2):
        one = problem.objective.item(i)
        at = (slice(None), slice(None)) if not isinstance(one, Neuron) else (one.y, one.x)
        place = (i, one.unit, *at)[: len(shape)]
        seed[place] = 1 / seed[place].size
    values, diff = caffes(oracle, small[0].read_text(), small[1].read_bytes(), params.numpy(), layer, blob, seed)
    close(found.values.numpy(), (values * seed).reshape(2, -1).sum(1))
    close(found.gradient.numpy(), diff)
    close(problem(params.reshape(-1).numpy())[1], -diff.reshape(-1))


def test_squeezenet(oracle: Oracle, shared: Path) -> None:
    folder = shared / "models/squeezenet"
    files = folder / "deploy.prototxt", folder / "squeezenet.caffemodel"
    network = load_net(*files, labels=folder / "labels.txt", device="cpu")
    objectives = [ClassScore("pool_final", "goldfish") - 0.5 * Channel("fire5/concat", 3), 2 * Channel("fire5/concat", 7)]
    problem = Problem(network, each(objectives), size=(97, 83))
    params = problem.start(1)
    prototxt, weights = files[0].read_text(), files[1].read_bytes()
    top, low = (np.zeros((2, *network.shape_of(layer, (97, 83))), np.float32) for layer in ("pool_final", "fire5/concat"))
    top[0, 1] = 1
    low[0, 3], low[1, 7] = -0.5 / low[0, 3].size, 2 / low[0, 3].size
    scores, of_top = caffes(oracle, prototxt, weights, params.numpy(), "pool_final", "pool_final", top)
    activations, of_low = caffes(oracle, prototxt, weights, params.numpy(), "fire5/concat", "fire5/concat", low)
    found = problem.evaluate(params)
    close(found.values.numpy(), (scores * top).reshape(2, -1).sum(1) + (activations * low).reshape(2, -1).sum(1))
    close(found.gradient.numpy(), of_top + of_low)
