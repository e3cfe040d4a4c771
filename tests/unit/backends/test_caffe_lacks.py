"""A Caffe that lacks some of a net's layers or words computes the rest, and says in one sentence what it cannot."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
import torch

import dreamopt.caffe
from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.in_process import InProcess
from dreamopt.engine.net import Net
from dreamopt.errors import BackendError
from dreamopt.network import Network, load_net
from dreamopt.schema import read_net
from tests.support.forks import SSD


def caffe_without(*lacking: str) -> types.ModuleType:
    """Return a module with Caffe's face that lacks layer types."""
    made = types.ModuleType("dreamopt.caffe")
    vars(made).update(vars(dreamopt.caffe))
    vars(made)["layer_type_list"] = lambda: [kind for kind in dreamopt.caffe.layer_type_list() if kind not in lacking]
    return made


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    path, weights = tmp_path / "ssd.prototxt", tmp_path / "ssd.caffemodel"
    path.write_text(SSD)
    Net(path, seed=5).save(weights)
    return path, weights


def test_layers_below_and_beside_work(files: tuple[Path, Path]) -> None:
    there = InProcess("cpu", caffe_without("Normalize"))
    net, truth = Network(CaffeBackend(read_net(files[0]), files[1], there)), load_net(*files, device="cpu")
    x = torch.randn(2, 3, 21, 19, generator=torch.Generator().manual_seed(1))
    for name in ("conv1", "relu1", "drop", "conv2", "last"):
        assert torch.equal(net.activations(x, [name])[name], truth.activations(x, [name])[name])
    for name in ("norm", "loc", "perm"):
        with pytest.raises(
            BackendError, match=rf"^{files[0]}:8: layer 'norm' \(Normalize\): Caffe .* has no layers of this type; .* work$"
        ):
            net.activations(x, [name])


def test_the_description_of_the_net_is_the_same(files: tuple[Path, Path]) -> None:
    there = InProcess("cpu", caffe_without("Normalize"))
    net, truth = Network(CaffeBackend(read_net(files[0]), files[1], there)), load_net(*files, device="cpu")
    assert net.layers == truth.layers
    assert net.hash() == truth.hash()
    backend = net.backend
    assert isinstance(backend, CaffeBackend)
    assert not backend.unused_layers
    assert not backend.random_layers
    assert backend.weights_report.loaded == ("conv1", "conv2")
    change = next(change for change in backend.changes if "left out" in change)
    assert change.startswith(f"{files[0]}:8: layer 'norm' (Normalize): Caffe")
