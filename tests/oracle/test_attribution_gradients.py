"""Saliency and gradient times input against real Caffe's data diff: of a class, of a neuron, before and after a ReLU in place; no net surgery."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.attribution.method import parse_method
from dreamopt.attribution.score import ScoreFunction
from dreamopt.network import Network, load_net
from dreamopt.objective.strings import as_objective
from tests.oracle.conftest import caffe_root
from tests.oracle.test_problem_gradients import caffes, close
from tests.oracle.test_problem_gradients import small as small
from tests.support.oracle.harness import Oracle


def maps(network: Network, method: str, objective: str, x: np.ndarray) -> np.ndarray:
    size = (x.shape[2], x.shape[3])
    score = ScoreFunction(network, as_objective(objective).bind(network, size), size)
    values: np.ndarray = parse_method(method).attribute(score, torch.from_numpy(x)).values.numpy()
    return values


@pytest.mark.parametrize(
    ("objective", "layer", "blob", "place"),
    [
        ("fc:6", "fc", "fc", (6,)),
        ("both:9@2,5", "both", "both", (9, 2, 5)),
        ("conv1:3@14,5", "conv1", "conv1", (3, 14, 5)),
        ("relu1:3@14,5", "relu1", "conv1", (3, 14, 5)),
    ],
)
def test_small_net(oracle: Oracle, small: tuple[Path, Path], objective: str, layer: str, blob: str, place: tuple[int, ...]) -> None:
    network = load_net(*small, device="cpu")
    rng = np.random.default_rng(3)
    shape = network.shape_of(layer)
    for _ in range(20):  # until the place is open, so that a gradient comes through
        x = rng.normal(0, 40, (2, *network.input_shape)).astype(np.float32)
        seed = np.zeros((2, *shape), np.float32)
        seed[:, *place] = 1
        _, diff = caffes(oracle, small[0].read_text(), small[1].read_bytes(), x, layer, blob, seed)
        if diff.reshape(2, -1).any(1).all():
            break
    check(network, objective, x, diff)


def check(network: Network, objective: str, x: np.ndarray, diff: np.ndarray) -> None:
    close(maps(network, "gradient", objective, x), diff)
    close(maps(network, "saliency", objective, x), np.abs(diff).max(1, keepdims=True))
    close(maps(network, "gradient_x_input", objective, x), x * diff)


def test_a_class_of_squeezenet(oracle: Oracle, shared: Path) -> None:
    skimage = pytest.importorskip("skimage.data")
    folder = shared / "models/squeezenet"
    files = folder / "deploy.prototxt", folder / "squeezenet.caffemodel"
    network = load_net(*files, labels=folder / "labels.txt", device="cpu")
    images = [skimage.chelsea()[114:213, 174:273], skimage.coffee()[144:243, 214:313]]
    rgb = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).astype(np.float32))
    space = network.image_space()
    assert space.black is not None
    seed = np.zeros((2, *network.shape_of("pool_final")), np.float32)
    seed[:, 285] = 1
    errors = []
    for draw in range(12):
        # Two right programs differ where a value lies at a ReLU's kink, or two of a max pooling's window tie: of some draws of a little
        # noise one has to meet none among the net's values, of which small images have few enough, and the others few.
        noisy = rgb + 4 * torch.randn(rgb.shape, generator=torch.Generator().manual_seed(draw))
        x = (space.black + space.grey_step * noisy.flip(1)).numpy()
        _, diff = caffes(oracle, files[0].read_text(), files[1].read_bytes(), x, "pool_final", "pool_final", seed)
        errors.append(float(np.linalg.norm(maps(network, "gradient", "pool_final:285", x) - diff) / np.linalg.norm(diff)))
        if errors[-1] <= 1e-5:
            check(network, "pool_final:285", x, diff)
            break
    assert max(errors) < 0.05, errors
    assert min(errors) <= 1e-5, errors


METHODS = (
    "gradient",
    "saliency",
    "gradient_x_input",
    "deconvnet",
    "guided_backprop",
    "integrated_gradients(steps=3, baseline=30)",
    "smoothgrad(samples=3)",
    "vargrad(guided_backprop, samples=3)",
    "expected_gradients(samples=3)",
)


def test_every_method_on_real_caffe_in_another_process(oracle: Oracle, small: tuple[Path, Path]) -> None:
    mine = load_net(*small, device="cpu")
    theirs = load_net(*small, backend="remote", python=f"chroot {caffe_root()} python3", timeout=60)
    x = np.random.default_rng(5).normal(0, 40, (2, *mine.input_shape)).astype(np.float32)
    try:
        for method in METHODS:
            close(maps(mine, method, "fc:6", x), maps(theirs, method, "fc:6", x))
        score = ScoreFunction(theirs, as_objective("low:1").bind(theirs), batch=5)
        zero = parse_method("guided_backprop").attribute(score, torch.from_numpy(x)).facts["zero"]
        assert all("lets nothing through" in why for why in zero)
    finally:
        theirs.backend.close()  # type: ignore[attr-defined]  # the remote one's
