"""Class activation maps from the blobs of real Caffe: data, and diffs of a backward pass from a one-hot logit down to the layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.attribution.method import parse_method
from dreamopt.attribution.score import ScoreFunction
from dreamopt.network import Network, load_net
from dreamopt.objective import as_objective
from tests.oracle.conftest import caffe_root
from tests.support.oracle.harness import Array, Oracle, relative_error
from tests.unit.attribution.test_cam import stretched

pytestmark = pytest.mark.oracle

_MAPS = """
net = caffe.Net("deploy.prototxt", "weights.caffemodel", caffe.TEST)
net.blobs["data"].reshape(*inputs["data"].shape)
net.blobs["data"].data[...] = inputs["data"]
net.forward()
net.blobs["pool_final"].diff[...] = 0
net.blobs["pool_final"].diff[:, arguments["unit"]] = 1
net.backward(start="pool_final", end="conv_final")
result["data"] = net.blobs["fire9/concat"].data.copy()
result["diff"] = net.blobs["fire9/concat"].diff.copy()
"""


def _plus_plus(values: Array, slopes: Array) -> Array:
    below = 2 * slopes**2 + values.sum((1, 2), keepdims=True) * slopes**3 + 1e-6
    return np.asarray((np.maximum(slopes, 0) * slopes**2 / below).sum((1, 2))[:, None, None] * values)


FORMULAS = {
    "grad_cam": lambda values, slopes: slopes.mean((1, 2), keepdims=True) * values,
    "hirescam": lambda values, slopes: slopes * values,
    "layercam": lambda values, slopes: np.maximum(slopes, 0) * values,
    "grad_cam_plus_plus": _plus_plus,
}


def _image() -> torch.Tensor:
    return 60 * torch.randn(2, 3, 227, 227, generator=torch.Generator().manual_seed(2))


def _maps(network: Network, method: str, target: str, images: torch.Tensor) -> torch.Tensor:
    size = (images.shape[2], images.shape[3])
    return parse_method(method).attribute(ScoreFunction(network, as_objective(target).bind(network, size), size), images).values


def test_maps_of_squeezenet_from_caffes_blobs(oracle: Oracle, shared: Path) -> None:
    folder = shared / "models/squeezenet"
    text = (folder / "deploy.prototxt").read_text()
    files = {
        "deploy.prototxt": f"force_backward: true\n{text}".encode(),
        "weights.caffemodel": (folder / "squeezenet.caffemodel").read_bytes(),
    }
    found = oracle.script(_MAPS, files, {"data": _image().numpy()}, {"unit": 285})
    network = load_net(folder / "deploy.prototxt", folder / "squeezenet.caffemodel", device="cpu")
    for method, formula in FORMULAS.items():
        maps = _maps(network, method, "pool_final:285", _image())
        for i in range(2):
            values, slopes = (found[name][i].astype(np.float64) for name in ("data", "diff"))
            reference = stretched(np.maximum(formula(values, slopes).sum(0), 0), (227, 227))
            assert np.abs(reference).max() > 0
            assert relative_error(maps[i, 0].numpy(), reference) < 1e-3


@pytest.mark.parametrize("method", [*FORMULAS, "guided_grad_cam", "score_cam(channels=4)", "occlusion(window=0.5)", "rise(masks=6)"])
def test_another_python_with_caffe_gives_the_same_maps(method: str) -> None:
    network = load_net(backend="remote", python=f"chroot {caffe_root()} python3", timeout=60)
    images = 60 * torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(2))
    try:
        maps = _maps(network, method, "scores:3", images)
    finally:
        network.backend.close()
    assert relative_error(maps.numpy(), _maps(load_net(device="cpu"), method, "scores:3", images).numpy()) < 1e-3
